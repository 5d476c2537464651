"""The relaxed architecture: alpha and beta, and the probabilities that they stand for."""

import dataclasses
import functools
from typing import Optional, Sequence

import numpy as np

from adl_tf.space.search_space import MOVE_OFFSETS, SearchSpace


@dataclasses.dataclass(frozen=True, eq=False)
class RelaxedArchitecture:
    """A point of the continuous relaxation of a search space (paper, eqs. 3 and 7).

    Args:
      space: the search space.
      alpha: [edges, ops], logits; None for zeros, an untrained search.
      beta: [layers - 1, levels, moves], logits; None for zeros.

    Raises:
      ValueError: alpha or beta does not fit the space.
    """

    space: SearchSpace
    alpha: Optional[np.ndarray] = None
    beta: Optional[np.ndarray] = None

    def __post_init__(self):
        shapes = {"alpha": self.space.alpha_shape, "beta": self.space.beta_shape}
        for name, shape in shapes.items():
            logits = getattr(self, name)
            logits = np.zeros(shape) if logits is None else np.asarray(logits, np.float64)
            if logits.shape != shape:
                raise ValueError(
                    f"{name} has shape {list(logits.shape)}; it must be {list(shape)}."
                )
            object.__setattr__(self, name, logits)

    @functools.cached_property
    def op_probabilities(self) -> np.ndarray:
        """float64 [edges, ops]: softmax over the ops of each edge (paper, eq. 3)."""
        return _softmax(self.alpha)

    @functools.cached_property
    def move_probabilities(self) -> np.ndarray:
        """float64 [layers - 1, levels, moves]: softmax over the legal moves out of each node
        (paper, eq. 7); illegal moves are 0."""
        return _softmax(np.where(self.space.legal_moves(), self.beta, -np.inf))

    @functools.cached_property
    def visits(self) -> np.ndarray:
        """float64 [layers, levels]: probability that a path drawn move by move passes each node."""
        space, moves = self.space, self.move_probabilities
        visits = np.zeros((space.num_layers, space.num_levels))
        visits[0, 0] = 1.0
        for layer in range(1, space.num_layers):
            for level in space.levels(layer):
                for source, move in space.predecessors(layer, level):
                    visits[layer, level] += (
                        visits[layer - 1, source] * moves[layer - 1, source, move]
                    )
        return visits

    def path_probability(self, path: Sequence[int]) -> float:
        """Product of the probabilities of a path's moves.

        Raises:
          ValueError: not a path of the space.
        """
        self.space.check_path(path)
        steps = enumerate(zip(path, path[1:]))
        moves = self.move_probabilities
        return float(np.prod([moves[i, a, MOVE_OFFSETS.index(b - a)] for i, (a, b) in steps]))


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)
