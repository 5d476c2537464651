"""What a trained supernet says of single genotypes, and of what it misses without each op."""

import os
from typing import Dict, NamedTuple, Optional, Sequence

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from adl_tf.model_directory import SPACE_FILE, read_versioned
from adl_tf.models.checkpoint_files import newest_checkpoint
from adl_tf.models.supernet import Supernet
from adl_tf.runs.batch_scores import Score, score_batches
from adl_tf.runs.search_result import read_search
from adl_tf.space.decoding import highest_paths, strongest_edges
from adl_tf.space.genotype import Genotype
from adl_tf.space.ops import NONE
from adl_tf.space.search_space import MOVE_OFFSETS, SearchSpace

# A logit so far below the others is a probability of 0.
_NEVER = -1e4


class SupernetScores:
    """Scores a search's supernet under any alpha and beta, by its trained weights.

    Args:
      model_dir: of a search by `run_search`, running or finished.
      batches: dicts of image [B, H, W, 3] and label [B, H, W], all of one size.
      class_weights: of the loss; None for 1.

    Attributes:
      space: of the search.
      alpha: [edges, ops], beta: [layers - 1, levels, moves]: its logits.

    Raises:
      FileNotFoundError, ValueError: see `read_search`.
    """

    def __init__(
        self,
        model_dir: str,
        batches: Sequence[Dict[str, tf.Tensor]],
        class_weights: Optional[np.ndarray] = None,
    ):
        self.space, self.alpha, self.beta = read_search(model_dir)
        fields = read_versioned(os.path.join(model_dir, SPACE_FILE))
        self._classes = fields["num_classes"]
        self._supernet = Supernet(self.space, self._classes)
        self._supernet.build((None, *batches[0]["image"].shape[1:]))
        checkpoint = tf.train.Checkpoint(supernet=self._supernet)
        checkpoint.read(newest_checkpoint(model_dir)).expect_partial()
        self._supernet.temperature.assign(1.0)  # `alpha` and `beta` are over the temperature.
        self._batches = batches
        self._class_weights = class_weights
        self._logits = tf.function(
            lambda images, training: self._supernet(images, training=training), autograph=False
        )

    def score(
        self,
        alpha: Optional[np.ndarray] = None,
        beta: Optional[np.ndarray] = None,
        own_statistics: bool = False,
    ) -> Score:
        """Scores one alpha and beta.

        Args:
          alpha: [edges, ops]; None for the search's.
          beta: [layers - 1, levels, moves]; None for the search's.
          own_statistics: batch norms use the statistics of each batch, which are those of this
            alpha and beta, instead of the moving ones, which are those of the search.
        """
        self._supernet.alpha.assign(self.alpha if alpha is None else alpha)
        self._supernet.beta.assign(self.beta if beta is None else beta)
        moving = self._supernet.non_trainable_variables if own_statistics else []
        values = [variable.numpy() for variable in moving]
        found = score_batches(
            lambda images: self._logits(images, own_statistics),
            self._batches,
            self._classes,
            self._class_weights,
        )
        # Measuring statistics moves those of the search, which other scores are made with.
        for variable, value in zip(moving, values):
            variable.assign(value)
        return found

    def score_genotype(self, genotype: Genotype, own_statistics: bool = True) -> Score:
        """Scores a genotype inside the supernet, where H^(l-2) is the state at the same stride.

        Raises:
          ValueError: the space has no op none, by which the other edges are left out.
        """
        return self.score(*one_hot_logits(self.space, genotype), own_statistics)


def one_hot_logits(space: SearchSpace, genotype: Genotype):
    """alpha and beta whose softmaxes are a genotype: its ops, none elsewhere, and its moves."""
    if NONE not in space.ops:
        raise ValueError("SearchSpace.ops has no 'none', so no edge can be left out.")
    alpha = np.full(space.alpha_shape, _NEVER, np.float32)
    chosen = {
        (source, block): op
        for block, branches in enumerate(genotype.cell)
        for source, op in branches
    }
    for row, edge in enumerate(space.edges):
        alpha[row, space.ops.index(chosen.get(edge, NONE))] = 0
    beta = np.zeros(space.beta_shape, np.float32)
    for layer, (level, target) in enumerate(zip(genotype.path, genotype.path[1:])):
        beta[layer, level] = _NEVER
        beta[layer, level, MOVE_OFFSETS.index(target - level)] = 0
    return alpha, beta


class Strengths(NamedTuple):
    """How much a supernet loses without each op of alpha and each move of beta.

    Attributes:
      ops: [edges, ops], rise of the loss when the op is taken away from the edge.
      moves: [layers - 1, levels, moves], the same of the moves out of a node; 0 for moves that
        cannot be taken, or that are the only one.
    """

    ops: np.ndarray
    moves: np.ndarray

    def decode(self, space: SearchSpace) -> Genotype:
        """The genotype of the largest strengths: edges and ops as in `strongest_cell`, and the path
        of the largest sum."""
        (path,) = highest_paths(space, self.moves)
        return Genotype(path, strongest_edges(space, self.ops))

    def predict(self, space: SearchSpace, genotype: Genotype) -> float:
        """Sum of the strengths of a genotype's ops and moves: larger is better."""
        alpha, beta = one_hot_logits(space, genotype)
        chosen = [op != NONE for op in space.ops]
        total = self.ops[:, chosen][alpha[:, chosen] == 0].sum()
        on_path = (beta == 0) & (beta == _NEVER).any(axis=-1, keepdims=True)
        return float(total + self.moves[on_path].sum())


def measure_strengths(scores: SupernetScores) -> Strengths:
    """Takes each op and each move away from the supernet, one at a time.

    The size of alpha says little about how much an op contributes; what the supernet loses without
    it says more (Wang et al., Rethinking architecture selection in differentiable NAS,
    https://arxiv.org/abs/2108.04392, section 4). Here nothing is trained between the choices.
    """
    space = scores.space
    whole = scores.score().loss
    ops, moves = np.zeros(space.alpha_shape), np.zeros(space.beta_shape)
    legal = space.legal_moves()
    taken = [
        (moves, (layer, level, move))
        for layer in range(space.num_layers - 1)
        for level in space.levels(layer)
        for move in np.flatnonzero(legal[level])
        if legal[level].sum() > 1
    ]
    taken += [
        (ops, (row, op))
        for row in range(space.alpha_shape[0])
        for op, name in enumerate(space.ops)
        if name != NONE
    ]
    for strengths, place in tqdm(taken, desc="perturbations"):
        logits = {"alpha": scores.alpha.copy(), "beta": scores.beta.copy()}
        logits["alpha" if strengths is ops else "beta"][place] = _NEVER
        strengths[place] = scores.score(**logits).loss - whole
    return Strengths(ops, moves)
