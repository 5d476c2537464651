"""Random genotypes that use every op equally often."""

from typing import Dict, List, Tuple

import numpy as np

from adl_tf.space.genotype import Genotype
from adl_tf.space.ops import NONE
from adl_tf.space.sampling import sample_path
from adl_tf.space.search_space import CELL_INPUTS, SearchSpace


class FairSampler:
    """Draws genotypes; on each edge of the cell all ops come up equally often.

    Paths are uniform over the paths of the space. Each edge has a shuffled deck of its ops, from
    which a draw takes the next, so that no op trains more often than another by luck (strict
    fairness, FairNAS, https://arxiv.org/abs/1907.01845, section 3.1).

    Args:
      space: what to draw from.
      seed: of the draws.
    """

    def __init__(self, space: SearchSpace, seed: int):
        self._space = space
        self._random = np.random.default_rng(seed)
        self._ops = [op for op in space.ops if op != NONE]
        self._decks: Dict[Tuple[int, int], List[str]] = {edge: [] for edge in space.edges}

    def draw(self) -> Genotype:
        """The next genotype."""
        cell = []
        for block in range(self._space.num_blocks):
            sources = self._random.choice(CELL_INPUTS + block, 2, replace=False)
            cell.append([(int(source), self._next_op((int(source), block))) for source in sources])
        return Genotype(sample_path(self._space, self._random), cell)

    def _next_op(self, edge: Tuple[int, int]) -> str:
        deck = self._decks[edge]
        if not deck:
            deck.extend(str(op) for op in self._random.permutation(self._ops))
        return deck.pop()
