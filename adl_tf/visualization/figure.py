"""Figures without pyplot: no global state, so they work in threads and without a display."""

import contextlib
import os
from typing import Iterator, Optional, Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, PowerNorm, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

from adl_tf.system.files import replacing

TEXT = "#30363d"
# Marks what decoding prefers.
STRONGEST = "#f0932b"
# Lines of what a search has hardly decided.
DASHES = (0, (2, 1.2))
PROBABILITY_TICKS = (0.0, 0.05, 0.2, 0.5, 1.0)

# Inches.
MARGIN = 0.2
TITLE = 0.45


def probability_colors() -> ScalarMappable:
    """The one color scale of all probabilities, so that pictures of epochs are comparable.

    Its root spreads the small values among which a search spends most of its time.
    A new object each time, since a color bar stays tied to its scale.
    """
    return ScalarMappable(PowerNorm(0.5, vmin=0.0, vmax=1.0), "Blues")


def spread_colors(values: np.ndarray) -> ScalarMappable:
    """A color scale from the smallest to the largest value, NaN left out.

    It shows differences that `probability_colors` cannot, such as 0.117 from 0.137.
    """
    low, high = np.nanmin(values), np.nanmax(values)
    if high - low < 1e-6:  # All alike; the bar still needs a length.
        low, high = low - 0.01, high + 0.01
    return ScalarMappable(Normalize(low, high), "Blues")


def ink(color) -> str:
    """The color of text that is legible on a color."""
    red, green, blue = to_rgb(color)
    return "white" if 0.3 * red + 0.59 * green + 0.11 * blue < 0.62 else TEXT


def inch_axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Empty axes at a place given in inches, whose data units are inches as well.

    Texts have a size in inches, so a layout in inches keeps them apart whatever the
    number of layers and blocks.
    """
    axes = add_axes(figure, left, bottom, width, height)
    axes.set(xlim=(0, width), ylim=(0, height))
    axes.set_axis_off()
    return axes


def add_axes(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Axes at a place given in inches."""
    total_width, total_height = figure.get_size_inches()
    return figure.add_axes(
        (left / total_width, bottom / total_height, width / total_width, height / total_height)
    )


def probability_bar(
    figure: Figure,
    left: float,
    bottom: float,
    height: float,
    colors: Optional[ScalarMappable] = None,
) -> None:
    """A color bar of probabilities at a place given in inches.

    Args:
      figure: where to draw.
      left, bottom, height: in inches.
      colors: the scale; None for `probability_colors`.
    """
    bar = figure.colorbar(
        colors or probability_colors(),
        cax=add_axes(figure, left, bottom, 0.15, height),
        ticks=None if colors else PROBABILITY_TICKS,
    )
    bar.set_label("probability")
    bar.ax.minorticks_off()
    bar.outline.set_visible(False)


def text_width(texts: Sequence[str], size: float) -> float:
    """Inches that the widest of some texts takes.

    Args:
      texts: as they are, without formulas.
      size: size of the font, in points.
    """
    figure = Figure()
    renderer = FigureCanvasAgg(figure).get_renderer()
    drawn = [figure.text(0, 0, text, fontsize=size, parse_math=False) for text in texts]
    widths = [text.get_window_extent(renderer).width for text in drawn]
    return max(widths, default=0.0) / figure.dpi


@contextlib.contextmanager
def plain_text(figure: Figure) -> Iterator[None]:
    """In the block, a figure is drawn with its texts as they are: a $ in the name of a class or of
    a file is no formula."""
    with matplotlib.rc_context({"text.parse_math": False}):  # For those made while drawing.
        for text in figure.findobj(Text):
            text.set_parse_math(False)
        yield


def figure_to_image(figure: Figure) -> np.ndarray:
    """Renders a figure. Returns uint8 [H, W, 3]."""
    canvas = FigureCanvasAgg(figure)
    with plain_text(figure):
        canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3]


def save_figure(figure: Figure, path) -> None:
    """Writes a PNG file atomically."""
    with replacing(os.fspath(path)) as temporary, plain_text(figure):
        figure.savefig(temporary, format="png")
