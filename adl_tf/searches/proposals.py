"""Proposals of a search, beside random networks of the same cost: the two arms of its trials."""

import dataclasses
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import scipy.stats

from adl_tf.searches.trials import Candidate, Trial
from adl_tf.space import evidence
from adl_tf.space.budget import Budget
from adl_tf.space.decoding import decode, strongest_cell
from adl_tf.space.genotype import Genotype
from adl_tf.space.network_sizes import NetworkSizes
from adl_tf.space.relaxed import RelaxedArchitecture
from adl_tf.space.sampling import draw_path, sample_genotype
from adl_tf.space.search_space import SearchSpace

SEARCHED, RANDOM = "searched", "random"
# Below it, the difference of the two arms is not taken for chance.
SIGNIFICANT = 0.05
_ATTEMPTS = 100  # Draws of one genotype before one that was there already is taken.


def propose(relaxed: RelaxedArchitecture, noise: float, count: int, seed: int) -> List[Genotype]:
    """What alpha and beta stand for, first the most probable of it.

    The cell is decoded from alpha without its noise, then from draws of what alpha could as well
    be (see `space.evidence`); the path is that of Viterbi, then drawn by the softmax of beta.

    Args:
      relaxed: alpha and beta.
      noise: how far a logit would have moved on noise alone, see `architecture_optimizer`.
      count: how many, all different where the draws allow it.
      seed: seed of the draws.
    """
    random = np.random.default_rng([seed, 2])
    alpha = relaxed.alpha

    def drawn():
        likely = dataclasses.replace(relaxed, alpha=evidence.draw(alpha, noise, random))
        return Genotype(path=draw_path(relaxed, random), cell=strongest_cell(likely))

    expected = dataclasses.replace(relaxed, alpha=evidence.shrunk(alpha, noise))
    return _different(count, drawn, [decode(expected)[0]])


def draw_random(space: SearchSpace, count: int, seed: int) -> List[Genotype]:
    """Genotypes drawn uniformly, all different where the space allows it."""
    random = np.random.default_rng([seed, 1])
    return _different(count, lambda: sample_genotype(space, random), [])


def _different(count: int, draw, found: List[Genotype]) -> List[Genotype]:
    while len(found) < count:
        for _ in range(_ATTEMPTS):
            genotype = draw()
            if genotype not in found:
                break
        found.append(genotype)
    return found[:count]


def make_candidates(
    arm: str,
    genotypes: Sequence[Genotype],
    space: SearchSpace,
    sizes: NetworkSizes,
    budget: Optional[Budget],
) -> List[Candidate]:
    """Candidates with the F that fills the budget, or, without one, the space's.

    Raises:
      ValueError: a genotype fits the budget at no F.
    """
    if budget is None:
        return [Candidate(arm, g, space.filter_multiplier, sizes) for g in genotypes]
    return [Candidate(arm, genotype, *budget.fill(genotype)) for genotype in genotypes]


class Comparison(NamedTuple):
    """Whether what a search proposes learns better than random networks of the same cost.

    Attributes:
      searched, random: mean training losses over the first rung, which all candidates reach.
      p_value: one-sided, of the rank test (Mann and Whitney): how often chance alone would put the
        searched ones as far ahead.
    """

    searched: Tuple[float, ...]
    random: Tuple[float, ...]
    p_value: float

    def numbers(self) -> Dict[str, Any]:
        """The fields as JSON holds them; a loss that is not finite is null."""
        arms = {
            name: [loss if np.isfinite(loss) else None for loss in getattr(self, name)]
            for name in (SEARCHED, RANDOM)
        }
        return {**arms, "p_value": self.p_value}

    def sentence(self) -> str:
        """The conclusion in a sentence."""
        medians = (
            f"median training loss {np.median(self.searched):.3f} against "
            f"{np.median(self.random):.3f}, best {min(self.searched):.3f} against "
            f"{min(self.random):.3f}, p = {self.p_value:.2g}"
        )
        if self.p_value < SIGNIFICANT:
            return f"the search's proposals are better than random ones of the same cost: {medians}"
        return f"the search's proposals are no better than random ones of the same cost: {medians}"


def compare(trials: Sequence[Trial]) -> Comparison:
    """Compares the two arms of a search's trials."""
    searched, random = (
        tuple(trial.losses[0] for trial in trials if trial.candidate.arm == arm)
        for arm in (SEARCHED, RANDOM)
    )
    test = scipy.stats.mannwhitneyu(searched, random, alternative="less")
    return Comparison(searched, random, float(test.pvalue))
