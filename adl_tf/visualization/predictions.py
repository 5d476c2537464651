"""Pictures of label maps: colored, beside their image, and as a gallery with a legend."""

import functools
import os
from typing import List, Optional, Sequence, Tuple

import numpy as np
from matplotlib import get_data_path
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from PIL import Image, ImageDraw, ImageFont

from adl_tf.data.description import IGNORE_LABEL, Color, DatasetDescription
from adl_tf.visualization.figure import MARGIN, TEXT, inch_axes, text_width

# Light gray: none of the usual palettes has it, and black is a class of PASCAL VOC.
IGNORE_COLOR = (224, 224, 224)

# Of pixels whose prediction is wrong.
ERROR_COLOR = (215, 25, 28)

PANEL_TITLES = ("image", "ground truth", "prediction", "overlay", "errors")
# Share of the prediction's color in the overlay.
OPACITY = 0.55
# Pixels.
SEPARATOR = 4
SMALL_SIDE = 384

# Of the legend below a picture.
_MARK, _GAP, _ROW = 11, 5, 18

# Inches. Five images of SMALL_SIDE fill the gallery pixel by pixel.
GALLERY_WIDTH = 19.76
LINE = 0.21
LEGEND_MARK = 0.7
_LEGEND_SIZE = 10  # Points.


def colorize(
    label_map: np.ndarray, colors: Sequence[Color], ignore_label: int = IGNORE_LABEL
) -> np.ndarray:
    """Paints a label map.

    Args:
      label_map: integers [H, W].
      colors: (red, green, blue) in 0..255 per class.
      ignore_label: the label painted in `IGNORE_COLOR`.

    Returns:
      uint8 [H, W, 3].

    Raises:
      ValueError: not [H, W], or a label that is neither a class nor the ignore label.
    """
    label_map = np.asarray(label_map)
    if label_map.ndim != 2:
        raise ValueError(f"label map has shape {list(label_map.shape)}; it must be [H, W].")
    ignored = label_map == ignore_label
    classes = np.where(ignored, len(colors), label_map)
    unknown = np.unique(label_map[~ignored & ((label_map < 0) | (label_map >= len(colors)))])
    if unknown.size:
        raise ValueError(
            f"label map has labels {unknown.tolist()}; there are {len(colors)} classes and the "
            f"ignore label {ignore_label}."
        )
    return np.asarray([*colors, IGNORE_COLOR], np.uint8)[classes]


def overlay(image: np.ndarray, colored: np.ndarray) -> np.ndarray:
    """A painted label map over its image.

    Args:
      image: uint8 [H, W, 3].
      colored: uint8 [H, W, 3], see `colorize`.

    Returns:
      uint8 [H, W, 3], `OPACITY` of which is the label map.
    """
    return np.rint((1 - OPACITY) * image + OPACITY * colored).astype(np.uint8)


def add_legend(
    image: np.ndarray, label_map: np.ndarray, description: DatasetDescription
) -> np.ndarray:
    """A picture with the names and colors of the classes that it shows below it.

    Args:
      image: uint8 [H, W, 3].
      label_map: integers [H, W].
      description: description of the classes.

    Returns:
      uint8 [H + legend, W, 3].
    """
    height, width = image.shape[:2]
    font = _legend_font()
    places, x, row = [], 0, 0
    for label in np.unique(label_map):
        if label >= description.num_classes:
            continue
        name = description.class_names[label]
        name = _cut(name, font, width - _MARK - 3 * _GAP)
        needed = _MARK + int(font.getlength(name)) + 3 * _GAP
        if x and x + needed > width:
            x, row = 0, row + 1
        places.append((x, row, name, description.colors[label]))
        x += needed
    canvas = Image.new("RGB", (width, height + (row + 1) * _ROW), (255, 255, 255))
    canvas.paste(Image.fromarray(image))
    draw = ImageDraw.Draw(canvas)
    for x, row, name, color in places:
        top = height + row * _ROW + (_ROW - _MARK) // 2
        mark = (x + _GAP, top, x + _GAP + _MARK, top + _MARK)
        draw.rectangle(mark, fill=tuple(color), outline=(90, 90, 90))
        draw.text((x + 2 * _GAP + _MARK, top), name, fill=(30, 30, 30), font=font)
    return np.asarray(canvas)


def _cut(name: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """A name, or its start, if it is wider than a number of pixels."""
    while len(name) > 1 and font.getlength(name) > width:
        name = name[:-2] + "…"
    return name


@functools.cache
def _legend_font() -> ImageFont.FreeTypeFont:
    """The one that comes with matplotlib: Latin, Greek, Cyrillic."""
    return ImageFont.truetype(os.path.join(get_data_path(), "fonts", "ttf", "DejaVuSans.ttf"), 11)


def prediction_panel(
    image: np.ndarray,
    label: np.ndarray,
    prediction: np.ndarray,
    description: DatasetDescription,
) -> np.ndarray:
    """Image, ground truth, prediction, the prediction over the image, and errors, side by side.

    Args:
      image: uint8 [H, W, 3].
      label: integers [H, W].
      prediction: integers [H, W].
      description: description of the data set, for its colors.

    Returns:
      uint8 [H, 5 * W + 4 * SEPARATOR, 3].

    Raises:
      ValueError: the three differ in size, the image is not uint8 [H, W, 3], or a label is unknown.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3:
        raise ValueError(f"image is {image.dtype} {list(image.shape)}; it must be uint8 [H, W, 3].")
    maps = [
        colorize(label_map, description.colors, description.ignore_label)
        for label_map in (label, prediction)
    ]
    if any(colored.shape != image.shape for colored in maps):
        raise ValueError(
            f"image {list(image.shape[:2])}, label {list(maps[0].shape[:2])} and prediction "
            f"{list(maps[1].shape[:2])} differ in size."
        )
    line = np.full((image.shape[0], SEPARATOR, 3), 255, np.uint8)
    errors = error_map(image, label, prediction, description.ignore_label)
    parts = [image, maps[0], maps[1], overlay(image, maps[1]), errors]
    return np.concatenate([parts[0], *(x for part in parts[1:] for x in (line, part))], axis=1)


def error_map(
    image: np.ndarray, label: np.ndarray, prediction: np.ndarray, ignore_label: int = IGNORE_LABEL
) -> np.ndarray:
    """Where a prediction is wrong: these pixels in `ERROR_COLOR`, the others a pale gray image.

    Args:
      image: uint8 [H, W, 3].
      label: integers [H, W].
      prediction: integers [H, W].
      ignore_label: label whose pixels are never wrong.

    Returns:
      uint8 [H, W, 3].
    """
    label, prediction = np.asarray(label), np.asarray(prediction)
    gray = 128 + image.mean(axis=-1, keepdims=True).repeat(3, axis=-1) / 2
    wrong = (label != prediction) & (label != ignore_label)
    return np.where(wrong[..., None], ERROR_COLOR, gray).astype(np.uint8)


def shrink_example(
    image: np.ndarray, label: np.ndarray, prediction: np.ndarray, side: int = SMALL_SIDE
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Makes an example small enough for a page; small ones stay as they are.

    Args:
      image: uint8 [H, W, 3], averaged.
      label: integers [H, W], of which pixels are picked.
      prediction: integers [H, W], of which the same pixels are picked.
      side: length of the longer side of the results, in pixels.
    """
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return image, label, prediction
    height, width = (max(1, round(length * scale)) for length in (height, width))
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip((height, width), image.shape)
    )
    small = Image.fromarray(image).resize((width, height), Image.Resampling.BOX)
    return np.asarray(small), label[np.ix_(rows, columns)], prediction[np.ix_(rows, columns)]


def classes_present(label_maps: Sequence[np.ndarray], description: DatasetDescription) -> List[int]:
    """Ids of the classes that occur in any of the maps, in order, without the ignore label."""
    present = np.unique(np.concatenate([np.unique(label_map) for label_map in label_maps]))
    return [int(label) for label in present if label != description.ignore_label]


def prediction_gallery(
    images: Sequence[np.ndarray],
    labels: Sequence[np.ndarray],
    predictions: Sequence[np.ndarray],
    description: DatasetDescription,
    captions: Optional[Sequence[str]] = None,
) -> Figure:
    """One `prediction_panel` per row, and a legend of the classes that occur.

    Args:
      images: uint8 [H, W, 3] each; sizes may differ between images.
      labels: integers [H, W] each.
      predictions: integers [H, W] each.
      description: description of the data set, for names and colors.
      captions: what is written over each row.

    Raises:
      ValueError: no images, another number of labels, predictions or captions, or what
        `prediction_panel` raises.
    """
    if not len(images) or not len(images) == len(labels) == len(predictions):
        raise ValueError(
            f"gallery of {len(images)} images, {len(labels)} labels and {len(predictions)} "
            "predictions; it needs the same number of each, at least one."
        )
    if captions is not None and len(captions) != len(images):
        raise ValueError(f"gallery of {len(images)} images and {len(captions)} captions.")
    panels = [
        prediction_panel(*example, description) for example in zip(images, labels, predictions)
    ]
    entries = [
        (description.class_names[label], description.colors[label])
        for label in classes_present([*labels, *predictions], description)
    ] + [("ignored", IGNORE_COLOR)]
    legend_columns, legend_height = _legend_size(entries)
    panel_width = GALLERY_WIDTH - 2 * MARGIN
    heights = [panel_width * panel.shape[0] / panel.shape[1] for panel in panels]
    gap = MARGIN / 2
    caption_height = LINE if captions else 0.0
    rows_height = sum(heights) + (gap + caption_height) * len(panels)
    height = MARGIN + LINE + rows_height + legend_height

    figure = Figure(figsize=(GALLERY_WIDTH, height))
    top = height - MARGIN - LINE
    _draw_titles(figure, (top + LINE / 2) / height)
    for row, (panel, panel_height) in enumerate(zip(panels, heights)):
        if captions:
            x, y = MARGIN / GALLERY_WIDTH, (top - caption_height / 2) / height
            figure.text(x, y, captions[row], va="center", color=TEXT)
            top -= caption_height
        axes = inch_axes(figure, MARGIN, top - panel_height, panel_width, panel_height)
        # Nearest: blending label colors would paint classes that are not there.
        axes.imshow(
            panel,
            extent=(0, panel_width, 0, panel_height),
            aspect="auto",
            interpolation="nearest",
        )
        top -= panel_height + gap
    _draw_legend(figure, entries, legend_columns, legend_height / height)
    return figure


def _draw_titles(figure: Figure, y: float) -> None:
    """Captions of the parts of the panels, above the first one."""
    panel_width = GALLERY_WIDTH - 2 * MARGIN
    for column, title in enumerate(PANEL_TITLES):
        x = (MARGIN + panel_width * (column + 0.5) / len(PANEL_TITLES)) / GALLERY_WIDTH
        figure.text(x, y, title, ha="center", va="center", weight="bold", color=TEXT)


def _legend_size(entries) -> Tuple[int, float]:
    """Columns of a legend with these (name, color), and its height in inches."""
    entry_width = LEGEND_MARK + text_width([name for name, _ in entries], _LEGEND_SIZE)
    columns = min(len(entries), max(1, int((GALLERY_WIDTH - 2 * MARGIN) / entry_width)))
    return columns, LINE * -(-len(entries) // columns) + MARGIN


def _draw_legend(figure: Figure, entries, columns: int, top: float) -> None:
    """Each (name, color), below `top`, a share of the figure's height."""
    figure.legend(
        handles=[
            Patch(fc=np.divide(color, 255), ec="#8d96a3", lw=0.5, label=name)
            for name, color in entries
        ],
        loc="upper center",
        bbox_to_anchor=(0.5, top),
        ncols=columns,
        frameon=False,
        fontsize=_LEGEND_SIZE,
        borderaxespad=0,
        labelspacing=0.4,
    )
