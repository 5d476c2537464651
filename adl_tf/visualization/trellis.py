"""The network level: the trellis of layers and strides, and what is marked in it."""

import dataclasses
from typing import Callable, List, Optional, Sequence, Tuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyArrowPatch

from adl_tf.space.search_space import MOVE_OFFSETS, SearchSpace, level_stride
from adl_tf.visualization.figure import DASHES, TEXT, ink

GRAY = "#c9ced6"
NODE = "#b3bac4"

# Inches.
COLUMN = 0.95
ROW = 0.85
RADIUS = 0.17
HEADER = 0.4

POINTS_PER_INCH = 72

# (layer, level); layer -1 is the stem, layer `num_layers` the heads.
Node = Tuple[int, int]


@dataclasses.dataclass(frozen=True)
class TrellisArrow:
    """A legal move out of a node that a path can reach.

    Attributes:
      layer: the layer it leaves, from 0.
      source: level it leaves.
      target: level it reaches in the next layer.
      on_path: whether the chosen path takes it.
      probability: its probability given its node; None without probabilities.
      strongest: whether it is the most probable move of its node.
    """

    layer: int
    source: int
    target: int
    on_path: bool = False
    probability: Optional[float] = None
    strongest: bool = False


def trellis_arrows(
    space: SearchSpace,
    path: Sequence[int] = (),
    probabilities: Optional[np.ndarray] = None,
) -> List[TrellisArrow]:
    """Every legal move between reachable nodes, each once, layer by layer.

    Args:
      space: the search space.
      path: one level per layer, or nothing.
      probabilities: [layers - 1, levels, moves], as in `RelaxedArchitecture`.
    """
    arrows = []
    for layer in range(space.num_layers - 1):
        for source in space.levels(layer):
            moves = None if probabilities is None else probabilities[layer, source]
            for move, offset in enumerate(MOVE_OFFSETS):
                target = source + offset
                if not 0 <= target < space.num_levels:
                    continue
                arrows.append(
                    TrellisArrow(
                        layer,
                        source,
                        target,
                        on_path=tuple(path[layer : layer + 2]) == (source, target),
                        probability=None if moves is None else float(moves[move]),
                        strongest=moves is not None and int(np.argmax(moves)) == move,
                    )
                )
    return arrows


def end_arrows(space: SearchSpace) -> List[Tuple[Node, Node]]:
    """From the stem to the first layer, and from each node of the last layer to its head."""
    last = space.num_layers - 1
    return [((-1, 0), (0, 0))] + [((last, level), (last + 1, level)) for level in _rows(space)]


def trellis_size(space: SearchSpace) -> Tuple[float, float]:
    """(width, height) in inches: columns for the strides, the stem, the layers and the head."""
    return (space.num_layers + 3) * COLUMN, HEADER + len(_rows(space)) * ROW


def _rows(space: SearchSpace) -> range:
    """Levels that any path reaches: those of the last layer."""
    return space.levels(space.num_layers - 1)


def node_position(space: SearchSpace, layer: int, level: int) -> Tuple[float, float]:
    """Center of a node in inches; layer -1 is the stem, layer `num_layers` the head."""
    return (layer + 2.5) * COLUMN, (len(_rows(space)) - level - 0.5) * ROW


def draw_nodes(axes: Axes, space: SearchSpace, color: Callable[[int, int], object]) -> None:
    """Draws nodes, stem, heads and the names of rows and columns.

    Args:
      axes: in inches, of `trellis_size`.
      space: the search space.
      color: maps (layer, level) to the color of the node; layers as in `node_position`.
    """
    ends = [(-1, 0, "stem")] + [(space.num_layers, level, "ASPP") for level in _rows(space)]
    for layer, level, name in ends:
        axes.text(
            *node_position(space, layer, level),
            name,
            ha="center",
            va="center",
            fontsize=9,
            color=ink(color(layer, level)),
            weight="bold",
            zorder=4,
            bbox={"boxstyle": "round,pad=0.4", "fc": color(layer, level), "ec": NODE},
        )
    for layer in range(space.num_layers):
        for level in space.levels(layer):
            center = node_position(space, layer, level)
            axes.add_patch(Circle(center, RADIUS, fc=color(layer, level), ec=NODE, zorder=4))
        x, y = node_position(space, layer, 0)
        axes.text(x, y + 0.62 * ROW, f"{layer + 1}", ha="center", fontsize=10, color=TEXT)
    x, y = node_position(space, -1, 0)
    axes.text(x, y + 0.62 * ROW, "layer", ha="center", fontsize=10, color=TEXT)
    for level in _rows(space):
        x, y = node_position(space, -2, level)
        axes.text(x, y, f"stride {level_stride(level)}", ha="center", va="center", color=TEXT)


def draw_arrow(
    axes: Axes,
    space: SearchSpace,
    start: Node,
    end: Node,
    color=GRAY,
    width: float = 0.9,
    zorder: float = 1,
    head: bool = True,
    dashed: bool = False,
) -> None:
    """Draws an arrow between two nodes, or a plain line without `head`."""
    ends = [
        (1.7 if layer in (-1, space.num_layers) else 1.15) * RADIUS * POINTS_PER_INCH
        for layer in (start[0], end[0])
    ]
    axes.add_patch(
        FancyArrowPatch(
            node_position(space, *start),
            node_position(space, *end),
            arrowstyle=f"-|>,head_length={4 + width},head_width={1.5 + width}" if head else "-",
            mutation_scale=1,
            shrinkA=ends[0],
            shrinkB=ends[1],
            color=color,
            lw=width,
            zorder=zorder,
            joinstyle="miter",
            capstyle="butt",
            linestyle=DASHES if dashed else "-",
        )
    )
