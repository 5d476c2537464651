"""From relaxed to discrete: softmaxes of alpha and beta, Viterbi, strongest edges."""

from typing import List, Tuple

import numpy as np

from adl_tf.space.genotype import Genotype
from adl_tf.space.ops import NONE
from adl_tf.space.search_space import MOVE_OFFSETS, SearchSpace


def op_probabilities(alpha: np.ndarray) -> np.ndarray:
    """Softmax over the ops of each edge (paper, eq. 3). [edges, ops] -> the same."""
    alpha = np.asarray(alpha, np.float64)
    exponentials = np.exp(alpha - alpha.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def move_probabilities(space: SearchSpace, beta: np.ndarray) -> np.ndarray:
    """Softmax over the legal moves out of each node (paper, eq. 7).

    Args:
      space: the search space.
      beta: [layers - 1, levels, moves].

    Returns:
      float64, the same shape; illegal moves are 0, every node's moves sum to 1.
    """
    legal = space.legal_moves()[None]
    beta = np.where(legal, np.asarray(beta, np.float64), -np.inf)
    exponentials = np.exp(beta - beta.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def best_paths(
    space: SearchSpace, beta: np.ndarray, count: int = 1
) -> List[Tuple[Tuple[int, ...], float]]:
    """The most probable paths, by dynamic programming over layers (Viterbi).

    A path's probability is the product of those of its moves (paper, section 3.3,
    https://arxiv.org/abs/1901.02985). That prefers nodes with fewer moves to choose from: with beta
    all zero it stays at stride 4, where a move has probability 1/2 instead of 1/3.

    Args:
      space: the search space.
      beta: [layers - 1, levels, moves], logits.
      count: how many paths.

    Returns:
      (path, probability) each, best first; fewer if the space has fewer. Among equal ones, the
      path that stays finest comes first.
    """
    with np.errstate(divide="ignore"):
        scores = np.log(move_probabilities(space, beta))
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
    return [(path, path_probability(space, beta, path)) for _, path in last]


def best_path(space: SearchSpace, beta: np.ndarray) -> Tuple[Tuple[int, ...], float]:
    """The first of `best_paths`, and its probability."""
    return best_paths(space, beta)[0]


def visit_probabilities(space: SearchSpace, moves: np.ndarray) -> np.ndarray:
    """Probability that a path drawn move by move passes each node.

    Args:
      space: the search space.
      moves: [layers - 1, levels, moves], as `move_probabilities` returns them.

    Returns:
      float64 [layers, levels]; each layer sums to 1.
    """
    visits = np.zeros((space.num_layers, space.num_levels))
    visits[0, 0] = 1.0
    for layer in range(1, space.num_layers):
        for level in space.levels(layer):
            for source, move in space.predecessors(layer, level):
                visits[layer, level] += visits[layer - 1, source] * moves[layer - 1, source, move]
    return visits


def path_probability(space: SearchSpace, beta: np.ndarray, path) -> float:
    """Product of the probabilities of a path's moves.

    Raises:
      ValueError: not a path of the space.
    """
    space.check_path(path)
    moves = move_probabilities(space, beta)
    steps = enumerate(zip(path, path[1:]))
    return float(np.prod([moves[i, a, MOVE_OFFSETS.index(b - a)] for i, (a, b) in steps]))


def strongest_cell(space: SearchSpace, alpha: np.ndarray):
    """Per block the two strongest edges, each with its strongest op other than none.

    Returns:
      The `cell` of a genotype, strongest branch first; ties go to the earlier
      edge and to the earlier op.
    """
    ops = [op for op in space.ops if op != NONE]
    strength = op_probabilities(alpha)[:, [space.ops.index(op) for op in ops]]
    cell = []
    for block in range(space.num_blocks):
        rows = [row for row, (_, target) in enumerate(space.edges) if target == block]
        top = sorted(rows, key=lambda row: -strength[row].max())[:2]
        cell.append(tuple((space.edges[row][0], ops[int(strength[row].argmax())]) for row in top))
    return tuple(cell)


def decode(space: SearchSpace, alpha: np.ndarray, beta: np.ndarray) -> Tuple[Genotype, float]:
    """Discrete architecture of a relaxed one, and the probability of its path."""
    path, probability = best_path(space, beta)
    return Genotype(path=path, cell=strongest_cell(space, alpha)), probability
