"""How much several genotypes have in common, and how much they would have by chance."""

import itertools
from typing import Dict, Optional, Sequence

import numpy as np

from adl_tf.space.budget import Budget, decode_within
from adl_tf.space.decoding import decode
from adl_tf.space.genotype import Genotype
from adl_tf.space.sampling import sample_genotype, sample_within
from adl_tf.space.search_space import SearchSpace

# Logits of a search start as random as this.
_INITIAL_DEVIATION = 0.001


def agreement(genotypes: Sequence[Genotype]) -> Dict[str, float]:
    """Mean over the pairs of genotypes of what they share.

    What cannot differ does not count: the inputs of the first block, which are all there are, and
    the level of the first layer.

    Args:
      genotypes: two or more of one space.

    Returns:
      edges: share of a block's inputs that both have; nan for cells of one block.
      ops: share of equal ops on the edges that both have; nan where they have none in common.
      strides: share of layers with the same stride; nan for one layer.
    """
    pairs = [_compare(a, b) for a, b in itertools.combinations(genotypes, 2)]
    names = ("edges", "ops", "strides")
    values = np.array([[pair[name] for name in names] for pair in pairs], np.float64)
    counts = np.isfinite(values).sum(axis=0)
    means = np.divide(
        np.nansum(values, axis=0), counts, out=np.full(len(names), np.nan), where=counts > 0
    )
    return dict(zip(names, means.tolist()))


def _compare(a: Genotype, b: Genotype) -> Dict[str, float]:
    edges, ops = [], []
    for block, (one, two) in enumerate(zip(a.cell, b.cell)):
        one, two = dict(one), dict(two)
        common = set(one) & set(two)
        if block:
            edges.append(len(common) / 2)
        ops += [one[source] == two[source] for source in common]
    strides = [x == y for x, y in zip(a.path[1:], b.path[1:])]
    return {
        name: float(np.mean(values)) if values else float("nan")
        for name, values in (("edges", edges), ("ops", ops), ("strides", strides))
    }


def chance_agreement(
    space: SearchSpace, draws: int = 200, seed: int = 0, budget: Optional[Budget] = None
) -> Dict[str, float]:
    """What genotypes share that no search has found.

    The larger, of each, of random genotypes, and of what untrained searches decode to, which agree
    by themselves.

    Args:
      space: the search space, with its rule of decoding paths.
      draws: genotypes of each kind.
      seed: of the draws.
      budget: what the genotypes cost, where a budget chooses among them; None for none.

    Returns:
      as `agreement` does.

    Raises:
      ValueError: no genotype within the budget.
    """
    random = np.random.default_rng(seed)
    if budget is None:
        drawn = (sample_genotype(space, random) for _ in range(draws))
    else:
        drawn = sample_within(space, random, budget.cost, budget.wanted, budget.tolerance)
    kinds = [list(itertools.islice(drawn, draws)), []]
    for _ in range(draws):
        alpha = random.normal(scale=_INITIAL_DEVIATION, size=space.alpha_shape)
        beta = random.normal(scale=_INITIAL_DEVIATION, size=space.beta_shape)
        if budget is None:
            kinds[1].append(decode(space, alpha, beta)[0])
        else:
            kinds[1].append(decode_within(space, alpha, beta, budget))
    found = [agreement(genotypes) for genotypes in kinds]
    return {name: max(kind[name] for kind in found) for name in found[0]}
