"""Pictures of what a search found, and of how it got there."""

from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from adl_tf.space.decoding import move_probabilities, strongest_cell
from adl_tf.space.genotype import Genotype
from adl_tf.space.search_space import (
    CELL_INPUTS,
    MOVES,
    SearchSpace,
    level_stride,
)
from adl_tf.visualization.cell_graph import OP_STYLES, cell_size, draw_cell, state_name
from adl_tf.visualization.figure import (
    TEXT,
    add_axes,
    check_shape,
    inch_axes,
    ink,
    probability_bar,
    probability_colors,
)
from adl_tf.visualization.trellis import (
    GRAY,
    NODE,
    draw_arrow,
    draw_nodes,
    end_arrows,
    node_position,
    trellis_arrows,
    trellis_size,
    visit_probabilities,
)

PATH = "#1f5fbf"
STRONGEST = "#f0932b"

History = Sequence[Tuple[int, np.ndarray]]

# Inches.
MARGIN = 0.2
TITLE = 0.45
MIN_WIDTH = 8.0


def draw_architecture(
    genotype: Genotype,
    space: Optional[SearchSpace] = None,
    beta: Optional[np.ndarray] = None,
) -> Figure:
    """The whole architecture in one picture: its path through the trellis, and its cell.

    Args:
      genotype: the architecture.
      space: the search space it is from; without it, the smallest with at least 4 strides.
      beta: [layers - 1, levels, moves] logits; marks the strongest move of each node.

    Raises:
      ValueError: the genotype or beta do not fit the space.
    """
    if space is None:
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
    probabilities = None
    if beta is not None:
        probabilities = move_probabilities(space, check_shape("beta", beta, space.beta_shape))

    trellis_width, trellis_height = trellis_size(space)
    cell_width, cell_height = cell_size(genotype.cell)
    width = max(trellis_width, cell_width, MIN_WIDTH) + 2 * MARGIN
    height = trellis_height + cell_height + 2 * TITLE + 3 * MARGIN
    figure = Figure(figsize=(width, height))

    cell_axes = inch_axes(figure, (width - cell_width) / 2, MARGIN, cell_width, cell_height)
    draw_cell(cell_axes, genotype.cell)
    axes = inch_axes(
        figure,
        (width - trellis_width) / 2,
        height - MARGIN - TITLE - trellis_height,
        trellis_width,
        trellis_height,
    )
    path = genotype.path
    ends = {-1: 0, space.num_layers: path[-1]}
    on_path = {**dict(enumerate(path)), **ends}
    draw_nodes(axes, space, lambda layer, level: PATH if on_path[layer] == level else NODE)
    for arrow in trellis_arrows(space, path, probabilities):
        start, end = (arrow.layer, arrow.source), (arrow.layer + 1, arrow.target)
        if arrow.on_path:
            draw_arrow(axes, space, start, end, PATH, width=3.5, zorder=3)
        else:
            draw_arrow(axes, space, start, end)
        if arrow.strongest:
            # Under an arrow of the path it shows as a rim.
            draw_arrow(
                axes,
                space,
                start,
                end,
                STRONGEST,
                width=0.8 + 3 * arrow.probability + (4.5 if arrow.on_path else 0),
                zorder=2,
                head=not arrow.on_path,
            )
    for start, end in end_arrows(space):
        if on_path[start[0]] == start[1]:
            draw_arrow(axes, space, start, end, PATH, width=3.5)
        else:
            draw_arrow(axes, space, start, end)

    title = {"fontsize": 13, "weight": "bold", "color": TEXT, "va": "top"}
    left = MARGIN / width
    figure.text(left, 1 - MARGIN / height, "Network", **title)
    figure.text(left, (cell_height + MARGIN + TITLE) / height, "Cell", **title)
    handles = [
        Line2D([], [], color=PATH, lw=3.5, label="chosen path"),
        Line2D([], [], color=GRAY, lw=1, label="legal move"),
    ]
    if probabilities is not None:
        handles.append(
            Line2D(
                [],
                [],
                color=STRONGEST,
                lw=2.5,
                label="strongest move of a node (width: probability)",
            )
        )
    figure.legend(
        handles=handles,
        loc="upper right",
        bbox_to_anchor=(1 - left, 1 - MARGIN / height),
        ncols=len(handles),
        frameon=False,
        borderaxespad=0,
    )
    return figure


def edge_names(space: SearchSpace) -> List[str]:
    """What each row of alpha is called in pictures."""
    return [
        f"{state_name(state)} → {state_name(block + CELL_INPUTS)}" for state, block in space.edges
    ]


def chosen_entries(space: SearchSpace, probabilities: np.ndarray) -> List[Tuple[int, int]]:
    """The (edge, op) entries that decoding picks, two per block.

    Args:
      space: the search space.
      probabilities: [edges, ops].
    """
    with np.errstate(divide="ignore"):
        cell = strongest_cell(space, np.log(probabilities))
    return [
        (space.edges.index((source, block)), space.ops.index(op))
        for block, branches in enumerate(cell)
        for source, op in branches
    ]


def draw_alpha(space: SearchSpace, probabilities: np.ndarray) -> Figure:
    """Heat map of the ops' probabilities; what decoding picks is framed.

    Args:
      space: the search space.
      probabilities: [edges, ops], each edge sums to 1.

    Raises:
      ValueError: another shape.
    """
    probabilities = check_shape("alpha's probabilities", probabilities, space.alpha_shape)
    rows, columns = probabilities.shape
    width, height = 0.75 * columns, 0.3 * rows
    figure = Figure(figsize=(width + 2.9, height + 0.8))
    axes = add_axes(figure, 1.7, 0.3, width, height)
    colors = probability_colors().to_rgba(probabilities)
    axes.imshow(colors, aspect="auto")
    axes.set_xticks(range(columns), [OP_STYLES[op][0] for op in space.ops])
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
    for row, column in chosen_entries(space, probabilities):
        axes.add_patch(
            Rectangle(
                (column - 0.46, row - 0.42), 0.92, 0.84, fill=False, ec=STRONGEST, lw=2.2, zorder=3
            )
        )
    probability_bar(figure, width + 1.9, 0.3, height)
    return figure


def draw_beta(space: SearchSpace, probabilities: np.ndarray) -> Figure:
    """The trellis as a flow: arrows show moves, nodes how many of 100 paths pass.

    An arrow's width and color are the probability of the move given its node, printed
    on it; a node's color and number are the probability of a path to pass the node.

    Args:
      space: the search space.
      probabilities: [layers - 1, levels, moves], each node's legal moves sum to 1.

    Raises:
      ValueError: another shape.
    """
    probabilities = check_shape("beta's probabilities", probabilities, space.beta_shape)
    trellis_width, trellis_height = trellis_size(space)
    width, height = trellis_width + 1.0, trellis_height + TITLE + 2 * MARGIN
    figure = Figure(figsize=(width, height))
    figure.text(
        MARGIN / width,
        1 - MARGIN / height,
        "arrows: probability of a move given its node; nodes: paths of 100 that pass",
        va="top",
        color=TEXT,
    )
    axes = inch_axes(figure, 0, MARGIN, trellis_width, trellis_height)
    visits = visit_probabilities(space, probabilities)
    nodes = {
        (-1, 0): 1.0,
        **dict(np.ndenumerate(visits)),
        **{(space.num_layers, level): visit for level, visit in enumerate(visits[-1])},
    }
    colors = probability_colors()
    draw_nodes(axes, space, lambda *node: colors.to_rgba(nodes[node]))
    for layer in range(space.num_layers):
        for level in space.levels(layer):
            axes.text(
                *node_position(space, layer, level),
                f"{100 * visits[layer, level]:.0f}",
                ha="center",
                va="center",
                fontsize=8,
                color=ink(colors.to_rgba(visits[layer, level])),
                zorder=5,
            )
    for start, end in end_arrows(space):
        draw_arrow(axes, space, start, end)
    for arrow in trellis_arrows(space, probabilities=probabilities):
        start = node_position(space, arrow.layer, arrow.source)
        end = node_position(space, arrow.layer + 1, arrow.target)
        draw_arrow(
            axes,
            space,
            (arrow.layer, arrow.source),
            (arrow.layer + 1, arrow.target),
            colors.to_rgba(arrow.probability),
            width=0.5 + 5 * arrow.probability,
            zorder=1 + arrow.probability,
        )
        # A third of the way the moves of a node have parted and have not met others yet.
        x, y = np.add(start, np.subtract(end, start) * 0.36)
        axes.text(
            x,
            y,
            f"{arrow.probability:.2f}".lstrip("0"),
            ha="center",
            va="center",
            fontsize=7,
            color=TEXT,
            zorder=3,
            bbox={"boxstyle": "round,pad=0.12", "fc": "white", "ec": "none", "alpha": 0.9},
        )
    probability_bar(figure, trellis_width + 0.1, 2 * MARGIN, trellis_height - 2 * MARGIN)
    return figure


def draw_alpha_history(space: SearchSpace, history: History) -> Figure:
    """Heat maps of alpha over time: one panel per edge, one row per op.

    Args:
      space: the search space.
      history: (epoch, probabilities [edges, ops]) in the order of time.

    Raises:
      ValueError: an empty history, epochs that do not increase, or another shape.
    """
    epochs, values = _stack("alpha's probabilities", history, space.alpha_shape)
    panels = {
        (block, state): (name, values[:, row])
        for row, ((state, block), name) in enumerate(zip(space.edges, edge_names(space)))
    }
    return _draw_history(panels, epochs, [OP_STYLES[op][0] for op in space.ops])


def draw_beta_history(space: SearchSpace, history: History) -> Figure:
    """Heat maps of beta over time: one panel per node, laid out as the trellis.

    Args:
      space: the search space.
      history: (epoch, probabilities [layers - 1, levels, moves]) in the order of time.

    Raises:
      ValueError: an empty history, epochs that do not increase, or another shape.
    """
    epochs, values = _stack("beta's probabilities", history, space.beta_shape)
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


def _stack(name: str, history: History, shape) -> Tuple[np.ndarray, np.ndarray]:
    """Epochs [T] and values [T, *shape] of a history."""
    epochs = np.asarray([epoch for epoch, _ in history], np.float64)
    if not len(epochs) or (np.diff(epochs) <= 0).any():
        raise ValueError(f"history: it needs increasing epochs, at least one; got {epochs}.")
    return epochs, np.stack([check_shape(name, values, shape) for _, values in history])


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
    colors = probability_colors()
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
    probability_bar(figure, width - 0.9, bottom, height - bottom - MARGIN - gap_height)
    return figure
