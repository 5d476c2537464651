"""Proposals of a search, beside random networks of the same cost: the two arms of its trials."""

import dataclasses
from typing import List, Optional, Sequence

import numpy as np

from adl_tf.searches.trials import Candidate
from adl_tf.space import evidence
from adl_tf.space.budget import Budget
from adl_tf.space.decoding import decode, strongest_cell
from adl_tf.space.genotype import Genotype
from adl_tf.space.network_sizes import NetworkSizes
from adl_tf.space.relaxed import RelaxedArchitecture
from adl_tf.space.sampling import draw_path, sample_genotype
from adl_tf.space.search_space import SearchSpace

SEARCHED, RANDOM = "searched", "random"
# Draws for each network of an arm, which takes the widest of them: at equal Multi-Adds these learn
# better by as much as any search has shown (benchmarks/RESULTS.md).
DRAWS = 20
_ATTEMPTS = 100  # Draws that bring nothing new before there is nothing new.


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
    """Genotypes that differ; once draws bring nothing new, those that there are once more."""
    failed = 0
    while len(found) < count and failed < _ATTEMPTS:
        genotype = draw()
        failed = failed + 1 if genotype in found else 0
        if not failed:
            found.append(genotype)
    return [found[index % len(found)] for index in range(count)]


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


def random_candidates(
    space: SearchSpace, count: int, seed: int, sizes: NetworkSizes, budget: Optional[Budget]
) -> List[Candidate]:
    """The widest of many random networks in the budget; without one, random networks.

    Raises:
      ValueError: too few of them fit the budget.
    """
    drawn = draw_random(space, count * (DRAWS if budget else 1), seed)
    return _widest(RANDOM, drawn, count, space, sizes, budget)


def searched_candidates(
    relaxed: RelaxedArchitecture,
    noise: float,
    count: int,
    seed: int,
    sizes: NetworkSizes,
    budget: Optional[Budget],
) -> List[Candidate]:
    """The most probable network, then the widest of what alpha and beta stand for; see `propose`.

    Raises:
      ValueError: the most probable one, or too many of the others, do not fit the budget.
    """
    space = relaxed.space
    first, *drawn = propose(relaxed, noise, count * (DRAWS if budget else 1), seed)
    probable = make_candidates(SEARCHED, [first], space, sizes, budget)
    return probable + _widest(SEARCHED, drawn, count - 1, space, sizes, budget)


def _widest(
    arm: str,
    genotypes: Sequence[Genotype],
    count: int,
    space: SearchSpace,
    sizes: NetworkSizes,
    budget: Optional[Budget],
) -> List[Candidate]:
    """Those of the genotypes with the largest F, all different where there are as many."""
    fitting, misfit = [], None
    for genotype in dict.fromkeys(genotypes):
        try:
            fitting += make_candidates(arm, [genotype], space, sizes, budget)
        except ValueError as error:
            misfit = error
    if misfit and len(fitting) < count:
        raise misfit
    fitting.sort(key=lambda each: -each.filter_multiplier)
    return [fitting[index % len(fitting)] for index in range(count)]
