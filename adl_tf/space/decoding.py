"""From relaxed to discrete: the most probable path (Viterbi), the strongest edges."""

from typing import List, Tuple

import numpy as np

from adl_tf.space.genotype import Genotype
from adl_tf.space.ops import NONE
from adl_tf.space.relaxed import RelaxedArchitecture


def best_paths(relaxed: RelaxedArchitecture, count: int = 1) -> List[Tuple[Tuple[int, ...], float]]:
    """The most probable paths, by dynamic programming over layers (Viterbi).

    A path's probability is the product of those of its moves (paper, section 3.3,
    https://arxiv.org/abs/1901.02985). That prefers nodes with fewer moves to choose from: with beta
    all zero it stays at stride 4, where a move has probability 1/2 instead of 1/3.

    Args:
      relaxed: alpha and beta.
      count: how many paths.

    Returns:
      (path, probability) each, best first; fewer if the space has fewer. Among equal ones, the
      path that stays finest comes first.
    """
    space = relaxed.space
    with np.errstate(divide="ignore"):
        scores = np.log(relaxed.move_probabilities)
    best = {0: [(0.0, (0,))]}  # Level -> (logarithm of the probability, path), best first.
    for layer in range(1, space.num_layers):
        reached = {}
        for level in space.levels(layer):
            candidates = [
                (score + scores[layer - 1, source, move], (*path, level))
                for source, move in space.predecessors(layer, level)
                for score, path in best[source]
            ]
            reached[level] = sorted(candidates, key=lambda candidate: -candidate[0])[:count]
        best = reached
    last = [candidate for level in sorted(best) for candidate in best[level]]
    last = sorted(last, key=lambda candidate: -candidate[0])[:count]
    return [(path, relaxed.path_probability(path)) for _, path in last]


def best_path(relaxed: RelaxedArchitecture) -> Tuple[Tuple[int, ...], float]:
    """The first of `best_paths`, and its probability."""
    return best_paths(relaxed)[0]


def strongest_cell(relaxed: RelaxedArchitecture):
    """Per block the two strongest edges, each with its strongest op other than none.

    Returns:
      The `cell` of a genotype, strongest branch first; ties go to the earlier
      edge and to the earlier op.
    """
    space = relaxed.space
    ops = [op for op in space.ops if op != NONE]
    strength = relaxed.op_probabilities[:, [space.ops.index(op) for op in ops]]
    cell = []
    for block in range(space.num_blocks):
        rows = [row for row, (_, target) in enumerate(space.edges) if target == block]
        top = sorted(rows, key=lambda row: -strength[row].max())[:2]
        cell.append(tuple((space.edges[row][0], ops[int(strength[row].argmax())]) for row in top))
    return tuple(cell)


def decode(relaxed: RelaxedArchitecture) -> Tuple[Genotype, float]:
    """Discrete architecture of a relaxed one, and the probability of its path."""
    path, probability = best_path(relaxed)
    return Genotype(path=path, cell=strongest_cell(relaxed)), probability
