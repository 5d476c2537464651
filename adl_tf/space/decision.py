"""Measures of how decided a search is: its alpha and beta between uniform and one-hot."""

from typing import Dict, NamedTuple, Optional, Set, Tuple, Union

import numpy as np

from adl_tf.space.decoding import best_path, best_paths, strongest_cell
from adl_tf.space.genotype import Genotype
from adl_tf.space.ops import get_op
from adl_tf.space.relaxed import RelaxedArchitecture

# A path that is this many times as probable as the untrained one, and as the next one, was chosen
# by the search; and of alpha and beta as uniform as this, neither was.
DECIDED_RATIO = 2.0
RUNNER_UP_RATIO = 1.1
UNDECIDED_ENTROPY = 0.95
# Ops without parameters win early, since they have nothing to learn: a cell with more of them is
# more likely one of a search that was too short than a good one.
FEW_WEIGHTS = 0.5


class Decision(NamedTuple):
    """Measures of alpha and beta beyond the architecture that is decoded from them.

    Untrained logits are zero. They decode to an architecture too, so the decoded one alone says
    nothing: https://arxiv.org/abs/1912.12522 compares searches with what they return untrained.

    Attributes:
      path: the decoded path.
      path_probability: product of its moves.
      untrained_path: what beta = 0 decodes to by the same rule.
      untrained_probability: product of its moves at beta = 0.
      runner_up_ratio: probability of the path over that of the most probable other one, below 1
        where a less probable one was found; infinite in a space of one path.
      alpha_entropy: mean over the edges of the entropy of their ops, over that of uniform ones:
        1 is undecided, 0 decided.
      beta_entropy: the same of the moves, each node weighted with the probability that a path
        passes it; 0 where there is no move to choose.
      weightless_ops: share of the decoded cell's ops that have no parameters.
    """

    path: Tuple[int, ...]
    path_probability: float
    untrained_path: Tuple[int, ...]
    untrained_probability: float
    runner_up_ratio: float
    alpha_entropy: float
    beta_entropy: float
    weightless_ops: float

    @property
    def path_is_decided(self) -> bool:
        """Whether the path is clearly more probable than it would be untrained, and than others."""
        return (
            self.path_probability > DECIDED_RATIO * self.untrained_probability
            and self.runner_up_ratio > RUNNER_UP_RATIO
            and self.beta_entropy < UNDECIDED_ENTROPY
        )

    @property
    def cell_is_decided(self) -> bool:
        """Whether alpha is clearly not uniform."""
        return self.alpha_entropy < UNDECIDED_ENTROPY

    def numbers(self) -> Dict[str, float]:
        """The measures that JSON and TensorBoard get; a missing runner-up is left out."""
        names = (
            "path_probability",
            "untrained_probability",
            "runner_up_ratio",
            "alpha_entropy",
            "beta_entropy",
            "weightless_ops",
        )
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if np.isfinite(value)}

    def summary(self) -> str:
        """One line for people."""
        ratio = self.path_probability / self.untrained_probability
        same = ", the same path" if self.path == self.untrained_path else ""
        return (
            f"path probability {self.path_probability:.3g} ({ratio:.3g}x that of the untrained "
            f"best path{same}), {self.runner_up_ratio:.3g}x the runner-up; entropy (1 = "
            f"undecided) of alpha {self.alpha_entropy:.3f}, of beta {self.beta_entropy:.3f}; "
            f"{self.weightless_ops:.0%} of the ops without parameters"
        )

    def warning(self) -> str:
        """One line if path or cell is near what an untrained search decodes to, or if the cell has
        hardly any parameters; else empty."""
        undecided = [
            name
            for name, decided in (("path", self.path_is_decided), ("cell", self.cell_is_decided))
            if not decided
        ]
        if undecided:
            return (
                f"warning: the {' and the '.join(undecided)} of this search "
                f"{'is' if len(undecided) == 1 else 'are'} hardly decided: an untrained search "
                "decodes to about the same, or another path is as probable. Search longer (EPOCHS)."
            )
        return weightless_warning(
            self.weightless_ops, "start alpha and beta later (ARCH_START_EPOCH)"
        )


def weightless_share(cell) -> float:
    """Share of the ops of a genotype's cell that have no parameters."""
    return float(np.mean([not get_op(op).has_weights for block in cell for _, op in block]))


def weightless_warning(share: float, fix: str) -> str:
    """One line if more than half of the ops of a cell have no parameters; else empty."""
    if share <= FEW_WEIGHTS:
        return ""
    return (
        f"warning: {share:.0%} of the cell's ops have no parameters. Such ops win while the others "
        f"have not learned yet: {fix}."
    )


def relative_entropy(probabilities: np.ndarray, choices: Union[int, np.ndarray]) -> np.ndarray:
    """Entropy of distributions over that of uniform ones: 1 is undecided, 0 decided.

    Args:
      probabilities: [..., n], each row sums to 1.
      choices: how many of a row's entries may be above 0, [...] or one number.

    Returns:
      float64 [...]; 0 where there is one choice.
    """
    logarithms = np.log(np.where(probabilities > 0, probabilities, 1.0))
    entropy = -(probabilities * logarithms).sum(axis=-1)
    return entropy / np.where(np.asarray(choices) > 1, np.log(choices), np.inf)


def undecided_edges(relaxed: RelaxedArchitecture) -> Set[Tuple[int, int]]:
    """The edges, as in `SearchSpace.edges`, whose ops are nearly uniform."""
    space = relaxed.space
    entropy = relative_entropy(relaxed.op_probabilities, len(space.ops))
    return {edge for edge, value in zip(space.edges, entropy) if value > UNDECIDED_ENTROPY}


def undecided_nodes(relaxed: RelaxedArchitecture) -> Set[Tuple[int, int]]:
    """The nodes (layer, level) whose moves are nearly uniform."""
    legal = relaxed.space.legal_moves().sum(axis=-1)
    entropy = relative_entropy(relaxed.move_probabilities, legal[None])
    return {(int(layer), int(level)) for layer, level in np.argwhere(entropy > UNDECIDED_ENTROPY)}


def measure_decision(relaxed: RelaxedArchitecture, genotype: Optional[Genotype] = None) -> Decision:
    """Measures how far alpha and beta are from undecided.

    Args:
      relaxed: alpha and beta.
      genotype: what was found; None for the best path and the strongest cell.
    """
    space, best = relaxed.space, best_paths(relaxed, 2)
    path = genotype.path if genotype else best[0][0]
    cell = genotype.cell if genotype else strongest_cell(relaxed)
    probability = relaxed.path_probability(path)
    others = [other for other in best if other[0] != path]
    untrained_path, untrained_probability = best_path(RelaxedArchitecture(space))
    legal = space.legal_moves().sum(axis=-1)
    # The nodes that have a move out of them; in the last layer none has.
    visits = relaxed.visits[:-1] * (legal > 1)
    node_entropy = relative_entropy(relaxed.move_probabilities, legal[None])
    return Decision(
        path=path,
        path_probability=probability,
        untrained_path=untrained_path,
        untrained_probability=untrained_probability,
        runner_up_ratio=probability / others[0][1] if others else float("inf"),
        alpha_entropy=float(relative_entropy(relaxed.op_probabilities, len(space.ops)).mean()),
        beta_entropy=float((visits * node_entropy).sum() / max(visits.sum(), 1e-12)),
        weightless_ops=weightless_share(cell),
    )
