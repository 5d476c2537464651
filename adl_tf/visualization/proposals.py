"""The two arms of a search's trials side by side: what it proposes, and random networks."""

from typing import Sequence

import numpy as np
from matplotlib.figure import Figure

from adl_tf.visualization.figure import STRONGEST, TEXT, add_axes

_BLUE, _GREY = "#2c6fbb", "#8a8f98"


def draw_proposals(searched: Sequence[float], random: Sequence[float]) -> Figure:
    """A dot for each network's training loss, a line at each arm's median.

    Args:
      searched: losses of what a search proposes, that of its decoded network first; those that are
        not finite are left out.
      random: losses of random networks of the same cost.
    """
    figure = Figure(figsize=(6.4, 2.4), dpi=150)
    axes = add_axes(figure, 1.5, 0.55, 4.7, 1.4)
    arms = (("random", random, _GREY), ("searched", searched, _BLUE))
    for row, (_, losses, color) in enumerate(arms):
        losses = np.array([loss for loss in losses if np.isfinite(loss)])
        if not len(losses):
            continue
        # Apart from each other where losses are alike, by their order.
        heights = row + 0.12 * ((np.argsort(np.argsort(losses)) % 3) - 1)
        axes.scatter(losses, heights, s=36, color=color, alpha=0.8, linewidths=0)
        axes.plot([np.median(losses)] * 2, [row - 0.3, row + 0.3], color=color, linewidth=2)
        if row and np.isfinite(searched[0]):
            axes.scatter([searched[0]], [heights[0]], s=80, facecolors="none", edgecolors=STRONGEST)
    axes.set_yticks(range(len(arms)), [f"{name} ({len(losses)})" for name, losses, _ in arms])
    axes.set_ylim(-0.5, 1.5)
    axes.set_xlabel("mean training loss of the first rung (a ring: the decoded network)")
    axes.set_title("What the search proposes, beside random networks of the same cost", fontsize=9)
    axes.tick_params(colors=TEXT, labelsize=8)
    axes.xaxis.label.set(color=TEXT, size=8)
    axes.title.set_color(TEXT)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    return figure
