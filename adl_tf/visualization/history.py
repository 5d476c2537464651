"""Alpha and beta over the epochs of a search, as heat maps on a scale of their own."""

from typing import Dict, Sequence, Tuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from adl_tf.space.ops import get_op
from adl_tf.space.relaxed import RelaxedArchitecture
from adl_tf.space.search_space import MOVES, level_stride
from adl_tf.visualization.cell_graph import edge_names
from adl_tf.visualization.figure import (
    MARGIN,
    TEXT,
    add_axes,
    probability_bar,
    spread_colors,
)

# (epoch, alpha and beta) in the order of time.
History = Sequence[Tuple[int, RelaxedArchitecture]]


def draw_alpha_history(history: History) -> Figure:
    """Heat maps of alpha over time: one panel per edge, one row per op.

    Raises:
      ValueError: an empty history, or epochs that do not increase.
    """
    epochs = _check_epochs(history)
    space = history[0][1].space
    values = np.stack([relaxed.op_probabilities for _, relaxed in history])
    panels = {
        (block, state): (name, values[:, row])
        for row, ((state, block), name) in enumerate(zip(space.edges, edge_names(space)))
    }
    return _draw_history(panels, epochs, [get_op(op).label for op in space.ops])


def draw_beta_history(history: History) -> Figure:
    """Heat maps of beta over time: one panel per node, laid out as the trellis.

    Raises:
      ValueError: an empty history, or epochs that do not increase.
    """
    epochs = _check_epochs(history)
    space = history[0][1].space
    values = np.stack([relaxed.move_probabilities for _, relaxed in history])
    values = np.where(space.legal_moves(), values, np.nan)
    panels = {
        (level, layer): (
            f"layer {layer + 1}, stride {level_stride(level)}",
            values[:, layer, level],
        )
        for layer in range(space.num_layers - 1)
        for level in space.levels(layer)
    }
    figure = _draw_history(panels, epochs, MOVES)
    if not panels:
        figure.text(0.1, 0.5, "one layer: no moves", color=TEXT)
    return figure


def _check_epochs(history: History) -> np.ndarray:
    """The epochs [T] of a history."""
    epochs = np.asarray([epoch for epoch, _ in history], np.float64)
    if not len(epochs) or (np.diff(epochs) <= 0).any():
        raise ValueError(f"history: it needs increasing epochs, at least one; got {epochs}.")
    return epochs


def _draw_history(
    panels: Dict[Tuple[int, int], Tuple[str, np.ndarray]],
    epochs: np.ndarray,
    row_names: Sequence[str],
) -> Figure:
    """Panels (title, values [T, rows]) at their (row, column) of a grid."""
    grid_rows = 1 + max((row for row, _ in panels), default=0)
    grid_columns = 1 + max((column for _, column in panels), default=0)
    panel_width, panel_height = 1.45, 0.17 * len(row_names)
    gap_width, gap_height = 0.15, 0.32
    left, bottom = 0.8, 0.55
    width = left + grid_columns * (panel_width + gap_width) + 1.0
    height = bottom + grid_rows * (panel_height + gap_height) + MARGIN
    figure = Figure(figsize=(width, height))

    middles = (epochs[1:] + epochs[:-1]) / 2
    first, last = (middles[0], middles[-1]) if len(middles) else (epochs[0] + 0.5, epochs[0] - 0.5)
    bounds = np.concatenate([[2 * epochs[0] - first], middles, [2 * epochs[-1] - last]])
    shown = [values.ravel() for _, values in panels.values()]
    colors = spread_colors(np.concatenate(shown or [np.zeros(1)]))
    for (row, column), (title, values) in panels.items():
        axes = add_axes(
            figure,
            left + column * (panel_width + gap_width),
            bottom + (grid_rows - 1 - row) * (panel_height + gap_height),
            panel_width,
            panel_height,
        )
        axes.pcolormesh(
            bounds, range(len(row_names) + 1), values.T, cmap=colors.cmap, norm=colors.norm
        )
        axes.invert_yaxis()
        axes.set_facecolor("#eceef1")
        axes.set_title(title, fontsize=8, pad=3)
        axes.spines[:].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True, min_n_ticks=1))
        axes.set_yticks(np.arange(len(row_names)) + 0.5, row_names)
        axes.tick_params(labelsize=7, length=2)
        axes.tick_params(axis="y", length=0, labelleft=(row, column - 1) not in panels)
        lowest = (row + 1, column) not in panels
        axes.tick_params(axis="x", labelbottom=lowest)
        if lowest:
            axes.set_xlabel("epoch", fontsize=8)
    bar_height = height - bottom - MARGIN - gap_height
    probability_bar(figure, width - 0.9, bottom, bar_height, colors)
    return figure
