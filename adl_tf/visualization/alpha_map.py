"""Alpha as a heat map: edges by ops."""

from typing import List, Tuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from adl_tf.space.decoding import strongest_cell
from adl_tf.space.ops import get_op
from adl_tf.space.relaxed import RelaxedArchitecture
from adl_tf.visualization.cell_graph import edge_names
from adl_tf.visualization.figure import (
    STRONGEST,
    add_axes,
    ink,
    probability_bar,
    probability_colors,
)


def chosen_entries(relaxed: RelaxedArchitecture) -> List[Tuple[int, int]]:
    """The (edge, op) entries that decoding picks, two per block."""
    space = relaxed.space
    return [
        (space.edges.index((source, block)), space.ops.index(op))
        for block, branches in enumerate(strongest_cell(relaxed))
        for source, op in branches
    ]


def draw_alpha(relaxed: RelaxedArchitecture) -> Figure:
    """Heat map of the ops' probabilities; what decoding picks is framed."""
    space, probabilities = relaxed.space, relaxed.op_probabilities
    rows, columns = probabilities.shape
    width, height = 0.75 * columns, 0.3 * rows
    figure = Figure(figsize=(width + 2.9, height + 0.8))
    axes = add_axes(figure, 1.7, 0.3, width, height)
    colors = probability_colors().to_rgba(probabilities)
    axes.imshow(colors, aspect="auto")
    axes.set_xticks(range(columns), [get_op(op).label for op in space.ops])
    axes.set_yticks(range(rows), edge_names(space))
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.spines[:].set_visible(False)
    for row, column in np.ndindex(rows, columns):
        axes.text(
            column,
            row,
            f"{probabilities[row, column]:.2f}",
            ha="center",
            va="center",
            fontsize=8,
            color=ink(colors[row, column]),
        )
    for row, (state, _) in enumerate(space.edges):
        if state == 0 and row:
            axes.axhline(row - 0.5, color="white", lw=4)
    for row, column in chosen_entries(relaxed):
        axes.add_patch(
            Rectangle(
                (column - 0.46, row - 0.42), 0.92, 0.84, fill=False, ec=STRONGEST, lw=2.2, zorder=3
            )
        )
    probability_bar(figure, width + 1.9, 0.3, height)
    return figure
