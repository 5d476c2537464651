"""An architecture in one picture: its path through the trellis, and its cell."""

from typing import Optional, Sequence, Set, Tuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from adl_tf.space.decision import undecided_edges, undecided_nodes
from adl_tf.space.genotype import Genotype
from adl_tf.space.relaxed import RelaxedArchitecture
from adl_tf.space.search_space import SearchSpace
from adl_tf.visualization.cell_graph import cell_size, draw_cell
from adl_tf.visualization.figure import (
    DASHES,
    MARGIN,
    STRONGEST,
    TEXT,
    TITLE,
    inch_axes,
)
from adl_tf.visualization.trellis import (
    GRAY,
    NODE,
    draw_arrow,
    draw_nodes,
    end_arrows,
    trellis_arrows,
    trellis_size,
)

PATH = "#1f5fbf"
PATH_WIDTH = 3.5  # Points.
MIN_WIDTH = 10.0  # Inches, for the legend beside the title.


def draw_architecture(genotype: Genotype, relaxed: Optional[RelaxedArchitecture] = None) -> Figure:
    """The whole architecture in one picture: its path through the trellis, and its cell.

    Reference:
      figure 3 of https://arxiv.org/abs/1901.02985, which also marks the strongest moves.

    Args:
      genotype: the architecture.
      relaxed: alpha and beta that it was found by; marks the strongest move of each node, and the
        moves of the path and the edges of the cell that are hardly decided. Without it, the
        trellis is the smallest with at least 4 strides.

    Raises:
      ValueError: the genotype does not fit the space of alpha and beta.
    """
    probabilities, nodes, edges = None, set(), set()
    if relaxed:
        space, probabilities = relaxed.space, relaxed.move_probabilities
        nodes, edges = undecided_nodes(relaxed), undecided_edges(relaxed)
    else:
        space = SearchSpace(
            num_layers=len(genotype.path),
            num_blocks=len(genotype.cell),
            num_levels=max(4, max(genotype.path) + 1),
        )
    space.check_path(genotype.path)
    if len(genotype.cell) != space.num_blocks:
        raise ValueError(
            f"genotype has {len(genotype.cell)} blocks, the space has {space.num_blocks}."
        )

    trellis_width, trellis_height = trellis_size(space)
    cell_width, cell_height = cell_size(genotype.cell)
    width = max(trellis_width, cell_width, MIN_WIDTH) + 2 * MARGIN
    height = trellis_height + cell_height + 2 * TITLE + 3 * MARGIN
    figure = Figure(figsize=(width, height))

    left, bottom = (width - cell_width) / 2, MARGIN
    draw_cell(inch_axes(figure, left, bottom, cell_width, cell_height), genotype.cell, edges)
    left, bottom = (width - trellis_width) / 2, height - MARGIN - TITLE - trellis_height
    axes = inch_axes(figure, left, bottom, trellis_width, trellis_height)
    _draw_path(axes, space, genotype.path, probabilities, nodes)

    left, top = MARGIN / width, 1 - MARGIN / height
    title = {"fontsize": 13, "weight": "bold", "color": TEXT, "va": "top"}
    figure.text(left, top, "Network", **title)
    figure.text(left, (cell_height + MARGIN + TITLE) / height, "Cell", **title)
    _draw_legend(
        figure, (1 - left, top), strongest=probabilities is not None, dashed=bool(nodes or edges)
    )
    return figure


def _draw_path(
    axes: Axes,
    space: SearchSpace,
    path: Sequence[int],
    probabilities: Optional[np.ndarray],
    undecided: Set[Tuple[int, int]],
) -> None:
    """The trellis with a path and, with the probabilities of moves, the strongest of each node.

    The moves of the path out of undecided nodes are dashed.
    """
    on_path = {**dict(enumerate(path)), -1: 0, space.num_layers: path[-1]}
    draw_nodes(axes, space, lambda layer, level: PATH if on_path[layer] == level else NODE)
    for arrow in trellis_arrows(space, path, probabilities):
        ends = (arrow.layer, arrow.source), (arrow.layer + 1, arrow.target)
        if arrow.on_path:
            draw_arrow(
                axes, space, *ends, PATH, width=PATH_WIDTH, zorder=3, dashed=ends[0] in undecided
            )
        else:
            draw_arrow(axes, space, *ends)
        if arrow.strongest:
            # Under an arrow of the path it shows as a rim.
            draw_arrow(
                axes,
                space,
                *ends,
                STRONGEST,
                width=0.8 + 3 * arrow.probability + (4.5 if arrow.on_path else 0),
                zorder=2,
                head=not arrow.on_path,
            )
    for start, end in end_arrows(space):
        if on_path[start[0]] == start[1]:
            draw_arrow(axes, space, start, end, PATH, width=PATH_WIDTH)
        else:
            draw_arrow(axes, space, start, end)


def _draw_legend(figure: Figure, upper_right, strongest: bool, dashed: bool) -> None:
    handles = [
        Line2D([], [], color=PATH, lw=PATH_WIDTH, label="chosen path"),
        Line2D([], [], color=GRAY, lw=1, label="legal move"),
    ]
    if strongest:
        label = "strongest move of a node (width: probability)"
        handles.append(Line2D([], [], color=STRONGEST, lw=2.5, label=label))
    if dashed:
        handles.append(Line2D([], [], color=PATH, lw=2, ls=DASHES, label="hardly decided"))
    figure.legend(
        handles=handles,
        loc="upper right",
        bbox_to_anchor=upper_right,
        ncols=len(handles),
        frameon=False,
        borderaxespad=0,
    )
