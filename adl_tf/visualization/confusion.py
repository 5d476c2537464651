"""The confusion matrix as a heat map."""

import numpy as np
from matplotlib.figure import Figure

from adl_tf.data.description import DatasetDescription
from adl_tf.visualization.figure import (
    MARGIN,
    add_axes,
    ink,
    probability_bar,
    probability_colors,
    text_width,
)

# Inches.
CELL = 0.38
# With more classes than this, cells shrink and numbers would be too small to read.
MAX_NUMBERED = 30
SMALL_CELL = 0.12
SMALL_FONT = 6


def draw_confusion(counts: np.ndarray, description: DatasetDescription) -> Figure:
    """Rows are the true classes, columns the predicted ones; each row sums to 1.

    The rows of classes that are not in the data are empty.

    Args:
      counts: [classes, classes] pixel counts by (true, predicted).
      description: description of the data set, for the names.

    Raises:
      ValueError: another shape.
    """
    classes = description.num_classes
    counts = np.asarray(counts, np.float64)
    if counts.shape != (classes, classes):
        raise ValueError(
            f"confusion matrix has shape {list(counts.shape)}; it must be {[classes, classes]}."
        )
    totals = counts.sum(1, keepdims=True)
    shares = counts / np.maximum(totals, 1)

    numbered = classes <= MAX_NUMBERED
    side = classes * (CELL if numbered else SMALL_CELL)
    font = {"fontsize": 9 if numbered else SMALL_FONT}
    names = text_width(description.class_names, font["fontsize"]) + 0.05
    left, bottom = MARGIN + names + 0.35, MARGIN
    figure = Figure(figsize=(left + side + 1.1, bottom + side + names + 0.55))
    axes = add_axes(figure, left, bottom, side, side)
    colors = probability_colors().to_rgba(shares)
    axes.imshow(colors, aspect="auto", interpolation="nearest")
    axes.set_xticks(range(classes), description.class_names, rotation=90, **font)
    axes.set_yticks(range(classes), description.class_names, **font)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    axes.set_xlabel("predicted")
    axes.xaxis.set_label_position("top")
    axes.set_ylabel("true")
    axes.spines[:].set_visible(False)
    if numbered:
        for row, column in np.argwhere(shares >= 0.005):
            axes.text(
                column,
                row,
                f"{100 * shares[row, column]:.0f}",
                ha="center",
                va="center",
                fontsize=8,
                color=ink(colors[row, column]),
            )
    probability_bar(figure, left + side + 0.15, bottom, min(side, 4.0))
    figure.axes[-1].set_ylabel("share of the true class")
    return figure
