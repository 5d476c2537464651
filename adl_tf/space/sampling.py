"""Random genotypes, a baseline for the result of a search."""

from typing import Callable, Iterator, Tuple

import numpy as np

from adl_tf.space.genotype import Genotype
from adl_tf.space.ops import NONE
from adl_tf.space.relaxed import RelaxedArchitecture
from adl_tf.space.search_space import CELL_INPUTS, MOVE_OFFSETS, SearchSpace


def sample_path(space: SearchSpace, random: np.random.Generator) -> Tuple[int, ...]:
    """Draws a path; every path of the space is equally likely."""
    # ways[l][s]: number of ways to finish a path that is at level s in layer l.
    ways = [np.ones(space.num_levels)]
    for _ in range(space.num_layers - 1):
        padded = np.pad(ways[0], 1)
        ways.insert(0, sum(padded[1 + step : 1 + step + space.num_levels] for step in MOVE_OFFSETS))
    path = [0]
    for layer in range(1, space.num_layers):
        levels = [path[-1] + step for step in MOVE_OFFSETS]
        levels = [level for level in levels if 0 <= level < space.num_levels]
        weights = ways[layer][levels]
        path.append(int(random.choice(levels, p=weights / weights.sum())))
    return tuple(path)


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


def draw_path(relaxed: RelaxedArchitecture, random: np.random.Generator) -> Tuple[int, ...]:
    """Draws a path move by move, by the softmax of beta.

    Args:
      relaxed: alpha and beta.
      random: numpy's generator.
    """
    space, moves = relaxed.space, relaxed.move_probabilities
    path = [0]
    for layer in range(space.num_layers - 1):
        move = random.choice(len(MOVE_OFFSETS), p=moves[layer, path[-1]])
        path.append(path[-1] + MOVE_OFFSETS[move])
    return tuple(path)


def draw_genotype(relaxed: RelaxedArchitecture, random: np.random.Generator) -> Genotype:
    """Draws from what alpha and beta say, where decoding takes the strongest.

    The path is drawn by `draw_path`. A block reads two different inputs, drawn in proportion to
    the probability that their edge's op is not none, and on each of them an op other than none, by
    the softmax of alpha.

    Args:
      relaxed: alpha and beta.
      random: numpy's generator.
    """
    space, path = relaxed.space, draw_path(relaxed, random)
    ops = [op for op in space.ops if op != NONE]
    strength = relaxed.op_probabilities[:, [space.ops.index(op) for op in ops]]
    cell = []
    for block in range(space.num_blocks):
        rows = [row for row, (_, target) in enumerate(space.edges) if target == block]
        kept = strength[rows].sum(axis=1)
        chosen = random.choice(rows, 2, replace=False, p=kept / kept.sum())
        cell.append(
            [
                (
                    space.edges[row][0],
                    str(random.choice(ops, p=strength[row] / strength[row].sum())),
                )
                for row in chosen
            ]
        )
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
