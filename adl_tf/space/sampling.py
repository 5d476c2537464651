"""Random genotypes, a baseline for the result of a search."""

from typing import Callable, Iterator, Tuple

import numpy as np

from adl_tf.space.genotype import Genotype
from adl_tf.space.ops import NONE
from adl_tf.space.relaxed import RelaxedArchitecture
from adl_tf.space.search_space import CELL_INPUTS, MOVE_OFFSETS, SearchSpace


def draw_path(relaxed: RelaxedArchitecture, random: np.random.Generator) -> Tuple[int, ...]:
    """Draws a path in proportion to the exponential of the sum of its moves' logits.

    At beta = 0 all paths are equally likely. Moves drawn one by one by the softmax of beta would
    prefer fine strides there, since at stride 4 there are two moves to choose from instead of
    three: an untrained search would propose other paths than random ones.

    Args:
      relaxed: alpha and beta.
      random: numpy's generator.
    """
    space, legal = relaxed.space, relaxed.space.legal_moves()
    # A softmax does not see the mean of a node's logits.
    means = np.where(legal, relaxed.beta, 0).sum(axis=-1, keepdims=True) / legal.sum(-1)[:, None]
    weights = np.where(legal, np.exp(relaxed.beta - means), 0.0)
    targets = np.clip(np.arange(space.num_levels)[:, None] + MOVE_OFFSETS, 0, space.num_levels - 1)
    # What all ways to finish a path weigh together, from each level and layer on.
    ways = [np.ones(space.num_levels)]
    for moves in reversed(weights):
        ways.insert(0, (moves * ways[0][targets]).sum(axis=-1))
    path = [0]
    for moves, after in zip(weights, ways[1:]):
        chances = moves[path[-1]] * after[targets[path[-1]]]
        move = random.choice(len(MOVE_OFFSETS), p=chances / chances.sum())
        path.append(path[-1] + MOVE_OFFSETS[move])
    return tuple(path)


def sample_path(space: SearchSpace, random: np.random.Generator) -> Tuple[int, ...]:
    """Draws a path; every path of the space is equally likely."""
    return draw_path(RelaxedArchitecture(space), random)


def sample_genotype(space: SearchSpace, random: np.random.Generator) -> Genotype:
    """Draws a path and a cell, each uniformly.

    A block reads two different inputs, as a decoded one does, and any op but none on each.

    Args:
      space: the search space.
      random: numpy's generator.
    """
    path = sample_path(space, random)
    ops = [op for op in space.ops if op != NONE]
    cell = [
        [
            (int(source), str(random.choice(ops)))
            for source in random.choice(CELL_INPUTS + block, 2, replace=False)
        ]
        for block in range(space.num_blocks)
    ]
    return Genotype(path=path, cell=cell)


def sample_within(
    space: SearchSpace,
    random: np.random.Generator,
    cost: Callable[[Genotype], float],
    wanted: float,
    tolerance: float,
    attempts: int = 10000,
) -> Iterator[Genotype]:
    """Draws of `sample_genotype` whose cost is as wanted, one after the other.

    Args:
      space: the search space.
      random: numpy's generator.
      cost: cost of a genotype, such as the Multi-Adds of `network_cost`.
      wanted: cost wanted.
      tolerance: relative distance allowed.
      attempts: draws before giving up on the next one.

    Raises:
      ValueError: none of `attempts` draws comes near enough.
    """
    while True:
        nearest = float("inf")
        for _ in range(attempts):
            genotype = sample_genotype(space, random)
            found = cost(genotype)
            if abs(found / wanted - 1) <= tolerance:
                break
            nearest = min(nearest, found, key=lambda value: abs(value / wanted - 1))
        else:
            raise ValueError(
                f"none of {attempts} genotypes is within {tolerance:.0%} of {wanted:.4g}; the "
                f"nearest has {nearest:.4g}: change F, the tolerance or the number of attempts."
            )
        yield genotype
