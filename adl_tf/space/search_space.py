"""The two-level search space of Auto-DeepLab (paper, section 3), in plain numbers.

The *cell level* is a graph of blocks whose edges each carry one of `OPS`; the
*network level* is a trellis of feature maps over layers and strides. Both are
described here by sizes, indices and masks only: no TensorFlow.
"""

import dataclasses
from typing import List, Sequence, Tuple

import numpy as np

from adl_tf.space.ops import NONE, OPS
from adl_tf.system.settings import Count, Name

# A move leads from a node of one layer to a node of the next; its index is its
# column in beta, its offset the change of level.
MOVES = ("up", "stay", "down")
MOVE_OFFSETS = (-1, 0, 1)

STEM_STRIDE = 4
# An atrous rate of 96 / s at stride s covers the same field of the image at every stride.
ASPP_FIELD = 96
CELL_INPUTS = 2


def level_stride(level: int) -> int:
    """Stride of a level with respect to the image: 4, 8, 16, 32, ..."""
    return STEM_STRIDE * 2**level


def halve(size: Tuple[int, int]) -> Tuple[int, int]:
    """Height and width after a stride-2 SAME convolution: ceil(n / 2)."""
    return tuple(-(-side // 2) for side in size)


def aspp_rates(level: int) -> Tuple[int, ...]:
    """Atrous rates of ASPP's 3x3 convolutions at a level: 96, 192 and 288 pixels of the image."""
    return tuple(max(1, times * ASPP_FIELD // level_stride(level)) for times in (1, 2, 3))


def num_edges(num_blocks: int) -> int:
    """Number of edges of a cell: block i (from 0) reads i + 2 earlier states."""
    return sum(CELL_INPUTS + block for block in range(num_blocks))


def num_cells(num_blocks: int, num_ops: int = len(OPS)) -> int:
    """Number of discrete cells, prod over blocks of (inputs x ops)^2."""
    total = 1
    for block in range(num_blocks):
        total *= ((CELL_INPUTS + block) * num_ops) ** 2
    return total


def num_paths(num_layers: int, num_levels: int = 4) -> int:
    """Number of network paths; layer 1 is at stride 4, each later layer moves freely."""
    ways = [1] + [0] * (num_levels - 1)
    for _ in range(num_layers - 1):
        ways = [
            sum(ways[level + step] for step in MOVE_OFFSETS if 0 <= level + step < num_levels)
            for level in range(num_levels)
        ]
    return sum(ways)


@dataclasses.dataclass(frozen=True)
class SearchSpace:
    """Sizes of one search space. The defaults are the paper's.

    A cell has B blocks, each the sum of two ops on earlier states; block i reads i + 1 of them,
    counted from 1. A path has one level per layer; it starts at stride 4, and its stride halves,
    stays or doubles from layer to layer:

        cells = prod_{i=1..B} ((i + 1) |O|)^2,    filters of a node = B F s / 4 at stride s

    Reference:
      Liu et al., Auto-DeepLab, section 3 and figures 1 and 2, https://arxiv.org/abs/1901.02985.

    Example:
      >>> space = SearchSpace()
      >>> space.alpha_shape, space.beta_shape
      ((20, 8), (11, 4, 3))
      >>> space.num_paths, f"{space.num_cells:.1e}"
      (28657, '5.6e+14')

    Args:
      num_layers: L, number of cells on a path.
      num_blocks: B, number of blocks in a cell.
      filter_multiplier: F; a block at stride s has F * s / 4 filters, a node B times that.
      num_levels: number of strides; level i has stride 4 * 2**i.
      ops: candidate operations of every edge, a subset of `OPS` in any order.

    Raises:
      ValueError: a size is below 1, or an op is unknown or given twice.
    """

    num_layers: Count = 12
    num_blocks: Count = 5
    filter_multiplier: Count = 8
    num_levels: Count = 4
    ops: Sequence[Name] = OPS

    def __post_init__(self):
        object.__setattr__(self, "ops", tuple(self.ops))
        for name in ("num_layers", "num_blocks", "filter_multiplier", "num_levels"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ValueError(f"SearchSpace: {name} is {value!r}; it must be an integer >= 1.")
        unknown = [op for op in self.ops if op not in OPS]
        if unknown:
            raise ValueError(f"SearchSpace: unknown ops {unknown}; choose from {list(OPS)}.")
        if len(set(self.ops)) != len(self.ops):
            raise ValueError(f"SearchSpace: an op is given twice in {list(self.ops)}.")
        if not any(op != NONE for op in self.ops):
            raise ValueError("SearchSpace: ops needs at least one op other than 'none'.")

    @property
    def edges(self) -> List[Tuple[int, int]]:
        """Edges as (state read, block written), in the order of alpha's rows.

        States are 0 = H^(l-1), 1 = H^(l-2), 2.. = blocks; block b writes state b + 2.
        """
        return [
            (state, block)
            for block in range(self.num_blocks)
            for state in range(block + CELL_INPUTS)
        ]

    @property
    def alpha_shape(self) -> Tuple[int, int]:
        """[edges, ops]."""
        return (num_edges(self.num_blocks), len(self.ops))

    @property
    def beta_shape(self) -> Tuple[int, int, int]:
        """[layers - 1, levels, moves]: the moves out of every node but the last layer's."""
        return (self.num_layers - 1, self.num_levels, len(MOVES))

    @property
    def num_cells(self) -> int:
        return num_cells(self.num_blocks, len(self.ops))

    @property
    def num_paths(self) -> int:
        return num_paths(self.num_layers, self.num_levels)

    def filters(self, level: int) -> int:
        """Filters of one block at a level: F * s / 4."""
        return self.filter_multiplier * level_stride(level) // STEM_STRIDE

    def node_filters(self, level: int) -> int:
        """Filters of a node's output at a level: B * F * s / 4."""
        return self.num_blocks * self.filters(level)

    def levels(self, layer: int) -> range:
        """Levels that a path can have reached at a layer (layers count from 0)."""
        return range(min(layer + 1, self.num_levels))

    def predecessors(self, layer: int, level: int) -> List[Tuple[int, int]]:
        """Nodes of layer - 1 that lead to a node, as (level, move), finest first.

        Layer 0 has none: its only node reads the stem.
        """
        return [
            (level - MOVE_OFFSETS[move], move)
            for move in reversed(range(len(MOVES)))
            if level - MOVE_OFFSETS[move] in self.levels(layer - 1)
        ]

    def legal_moves(self) -> np.ndarray:
        """Boolean mask [levels, moves]: the moves that stay inside the strides.

        Their probabilities (eq. 7) are in `RelaxedArchitecture.move_probabilities`.
        """
        levels = np.arange(self.num_levels)[:, None] + np.asarray(MOVE_OFFSETS)[None, :]
        return (levels >= 0) & (levels < self.num_levels)

    def check_path(self, path: Sequence[int]) -> None:
        """Raises ValueError unless `path` (one level per layer) is a path of this space."""
        if len(path) != self.num_layers:
            raise ValueError(f"path has {len(path)} layers, the space has {self.num_layers}.")
        if path[0] != 0:
            raise ValueError(f"path starts at level {path[0]}; layer 1 is at level 0 (stride 4).")
        for layer, level in enumerate(path):
            if not 0 <= level < self.num_levels:
                raise ValueError(
                    f"path: level {level} at layer {layer + 1}; legal are 0..{self.num_levels - 1}."
                )
            if layer and abs(level - path[layer - 1]) > 1:
                raise ValueError(
                    f"path: illegal move from level {path[layer - 1]} to {level} at layer "
                    f"{layer + 1}; the stride may halve, stay or double."
                )
