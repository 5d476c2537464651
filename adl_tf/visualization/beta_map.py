"""Beta as a flow through the trellis."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from adl_tf.space.relaxed import RelaxedArchitecture
from adl_tf.space.search_space import SearchSpace
from adl_tf.visualization.figure import (
    MARGIN,
    TEXT,
    TITLE,
    inch_axes,
    ink,
    probability_bar,
    probability_colors,
)
from adl_tf.visualization.trellis import (
    draw_arrow,
    draw_nodes,
    end_arrows,
    node_position,
    trellis_arrows,
    trellis_size,
)


def draw_beta(relaxed: RelaxedArchitecture) -> Figure:
    """The trellis as a flow: arrows show moves, nodes how many of 100 paths pass.

    An arrow's width and color are the probability of the move given its node, printed
    on it; a node's color and number are the probability of a path to pass the node.

    Reference:
      section 3.3 of https://arxiv.org/abs/1901.02985 reads beta as these probabilities.
    """
    space = relaxed.space
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
    _draw_visits(axes, space, relaxed.visits)
    _draw_moves(axes, space, relaxed.move_probabilities)
    probability_bar(figure, trellis_width + 0.1, 2 * MARGIN, trellis_height - 2 * MARGIN)
    return figure


def _draw_visits(axes: Axes, space: SearchSpace, visits: np.ndarray) -> None:
    """Nodes in the color of their probability [layers, levels], which is printed on them."""
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


def _draw_moves(axes: Axes, space: SearchSpace, probabilities: np.ndarray) -> None:
    """Arrows as wide and dark as their moves are probable, with the probability on them."""
    for start, end in end_arrows(space):
        draw_arrow(axes, space, start, end)
    colors = probability_colors()
    for arrow in trellis_arrows(space, probabilities=probabilities):
        source, target = (arrow.layer, arrow.source), (arrow.layer + 1, arrow.target)
        draw_arrow(
            axes,
            space,
            source,
            target,
            colors.to_rgba(arrow.probability),
            width=0.5 + 5 * arrow.probability,
            zorder=1 + arrow.probability,
        )
        # A third of the way, the moves of a node have separated and not yet met others.
        start, end = node_position(space, *source), node_position(space, *target)
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
