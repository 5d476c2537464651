"""From relaxed to discrete: softmaxes of alpha and beta, Viterbi, strongest edges."""

from typing import Tuple

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


def most_probable_path(space: SearchSpace, beta: np.ndarray) -> Tuple[Tuple[int, ...], float]:
    """Viterbi over beta (paper, section 3.3).

    Returns:
      (path, probability): one level per layer, and the product of its moves.
      Among equally probable paths, the one that stays finest.
    """
    with np.errstate(divide="ignore"):
        log_moves = np.log(move_probabilities(space, beta))
    best = np.full(space.num_levels, -np.inf)
    best[0] = 0.0
    back = np.zeros((space.num_layers, space.num_levels), np.int64)
    for layer in range(1, space.num_layers):
        scores = np.full(space.num_levels, -np.inf)
        for level in range(space.num_levels):
            for source, move in space.predecessors(layer, level):
                score = best[source] + log_moves[layer - 1, source, move]
                if score > scores[level]:
                    scores[level], back[layer, level] = score, source
        best = scores
    path = [int(np.argmax(best))]
    for layer in range(space.num_layers - 1, 0, -1):
        path.append(int(back[layer, path[-1]]))
    return tuple(reversed(path)), float(np.exp(best.max()))


def path_probability(space: SearchSpace, beta: np.ndarray, path) -> float:
    """Product of the probabilities of a path's moves.

    Raises:
      ValueError: not a path of the space.
    """
    space.check_path(path)
    moves = move_probabilities(space, beta)
    probability = 1.0
    for layer in range(1, space.num_layers):
        move = MOVE_OFFSETS.index(path[layer] - path[layer - 1])
        probability *= moves[layer - 1, path[layer - 1], move]
    return float(probability)


def strongest_cell(space: SearchSpace, alpha: np.ndarray):
    """Per block the two strongest edges, each with its strongest op other than none.

    Returns:
      The `cell` of a genotype, strongest branch first; ties go to the earlier
      edge and to the earlier op.
    """
    probabilities = op_probabilities(alpha)
    candidates = [index for index, op in enumerate(space.ops) if op != NONE]
    strength = probabilities[:, candidates]
    cell = []
    for block in range(space.num_blocks):
        rows = [row for row, (_, target) in enumerate(space.edges) if target == block]
        top = sorted(rows, key=lambda row: -strength[row].max())[:2]
        cell.append(
            tuple(
                (space.edges[row][0], space.ops[candidates[int(strength[row].argmax())]])
                for row in top
            )
        )
    return tuple(cell)


def decode(space: SearchSpace, alpha: np.ndarray, beta: np.ndarray) -> Tuple[Genotype, float]:
    """Discrete architecture of a relaxed one, and the probability of its path."""
    path, probability = most_probable_path(space, beta)
    return Genotype(path=path, cell=strongest_cell(space, alpha)), probability
