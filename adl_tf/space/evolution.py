"""Candidates for a score that is expensive: random genotypes, then changed copies of the best."""

import math
from typing import Callable, Dict

import numpy as np

from adl_tf.space.genotype import Genotype
from adl_tf.space.ops import NONE
from adl_tf.space.sampling import sample_genotype
from adl_tf.space.search_space import CELL_INPUTS, SearchSpace


def mutate_genotype(
    space: SearchSpace, genotype: Genotype, random: np.random.Generator
) -> Genotype:
    """A genotype that differs in one layer's level, in one input or in one op."""
    path, cell = list(genotype.path), [[list(branch) for branch in b] for b in genotype.cell]
    while True:
        kind = random.integers(3)
        block = cell[random.integers(len(cell))]
        index = cell.index(block)
        branch = random.integers(2)
        if kind == 0:
            changed = list(path)
            changed[random.integers(len(path))] = int(random.integers(space.num_levels))
            try:
                space.check_path(changed)
            except ValueError:
                continue
            path = changed
        elif kind == 1:
            free = set(range(CELL_INPUTS + index)) - {source for source, _ in block}
            if not free:
                continue
            block[branch][0] = int(random.choice(sorted(free)))
        else:
            block[branch][1] = str(random.choice([op for op in space.ops if op != NONE]))
        mutant = Genotype(path, cell)
        if mutant != genotype:
            return mutant


def count_random(count: int, random_share: float) -> int:
    """How many of `count` candidates of `evolve` are random: the first ones, at least two."""
    return min(count, max(2, math.ceil(random_share * count)))


def evolve(
    space: SearchSpace,
    score: Callable[[Genotype], float],
    random: np.random.Generator,
    count: int,
    allowed: Callable[[Genotype], bool] = lambda genotype: True,
    random_share: float = 0.5,
    parents: int = 10,
    attempts: int = 10000,
) -> Dict[Genotype, float]:
    """Scores random genotypes, then mutants of the best so far.

    As in single path one-shot (https://arxiv.org/abs/1904.00420, section 3.4), without crossover,
    and with one mutant at a time, so that each can come from the newest best.

    Args:
      space: what to draw from.
      score: larger is better.
      random: numpy's generator.
      count: genotypes to score.
      allowed: those that may be scored, such as a budget.
      random_share: share of `count` that is random.
      parents: mutants are of this many best genotypes.
      attempts: draws before giving up on the next genotype.

    Returns:
      the score of each genotype.

    Raises:
      ValueError: no new genotype is allowed in `attempts` draws.
    """
    scores: Dict[Genotype, float] = {}
    while len(scores) < count:
        best = sorted(scores, key=lambda genotype: -scores[genotype])[:parents]
        for _ in range(attempts):
            if len(scores) < count_random(count, random_share):
                genotype = sample_genotype(space, random)
            else:
                genotype = mutate_genotype(space, best[random.integers(len(best))], random)
            if genotype not in scores and allowed(genotype):
                break
        else:
            raise ValueError(
                f"none of {attempts} genotypes is new and within the budget, after {len(scores)} "
                f"of {count}: raise the budget or its tolerance, or lower the number of candidates."
            )
        scores[genotype] = score(genotype)
    return scores
