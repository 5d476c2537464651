"""Pictures of what a conversion understood: masks as they are in their files, beside what became of
them over the images, with classes and pixels."""

import collections
import math
import os
from typing import Dict, List, Optional

import numpy as np
from PIL import Image

from adl_tf.data.description import IGNORE_LABEL, DatasetDescription
from adl_tf.system.files import make_directory, replacing
from adl_tf.visualization.predictions import IGNORE_COLOR, add_legend, colorize, overlay
from data_prep import mask_pixels
from data_prep.conversion import Conversion
from data_prep.errors import BadExample
from data_prep.examples import Item
from data_prep.images import IMAGE_SUFFIXES, decode_image

FOLDER = "preview"
_WIDTH = 400  # At least, so that the lines fit.
_SHOWN = 3  # Values of a class that its line has.


def write_preview(conversion: Conversion, output_dir: str, count: int) -> List[str]:
    """Writes pictures of examples from all over the splits; returns their paths.

    Args:
      conversion: whose examples.
      output_dir: gets the folder `preview`.
      count: how many, at most.

    Raises:
      OSError: they cannot be written.
    """
    description = DatasetDescription(
        conversion.name, tuple(conversion.class_names), tuple(map(tuple, conversion.colors)), {}
    )
    items = [
        (split, item)
        for split, members in conversion.splits.items()
        if split not in conversion.unlabelled
        for item in members
    ]
    folder = os.path.join(output_dir, FOLDER)
    make_directory(folder)
    paths = []
    for index in np.unique(np.linspace(0, len(items) - 1, min(count, len(items))).astype(int)):
        split, item = items[index]
        try:
            example = conversion.convert(item)
            image = decode_image(example.image)
            picture = Image.fromarray(draw(image, example.label, description, _mask_of(item)))
        except (BadExample, ValueError):
            continue  # The conversion itself says what is wrong with it.
        paths.append(os.path.join(folder, f"{split}_{item.name.replace(os.sep, '_')}.png"))
        with replacing(paths[-1]) as temporary:
            picture.save(temporary, format="PNG", compress_level=3)
    return paths


def draw(
    image: np.ndarray,
    label: np.ndarray,
    description: DatasetDescription,
    mask: Optional[mask_pixels.Mask] = None,
) -> np.ndarray:
    """A label map over its image, with the lines of `describe_classes` below, and on the left its
    mask as a viewer shows it.

    Args:
      image: uint8 [H, W, 3].
      label: uint8 [H, W], class ids and the ignore label.
      description: description of the classes.
      mask: that the label was read from; None where it is no image.

    Returns:
      uint8 [height, width, 3], small ones enlarged.
    """
    lines = describe_classes(label, description, mask)
    colors = [*description.colors, *[IGNORE_COLOR] * (IGNORE_LABEL + 1 - description.num_classes)]
    legend = DatasetDescription(
        description.name, tuple(lines.values()), tuple(colors[i] for i in lines), {}
    )
    parts = [overlay(image, colorize(label, description.colors))]
    if mask is not None and mask.rows.shape == label.shape:
        parts.insert(0, np.clip(mask.shown, 0, 255).astype(np.uint8)[mask.rows])
    picture = np.concatenate(parts, axis=1)
    scale = math.ceil(_WIDTH / picture.shape[1])
    picture = picture.repeat(scale, axis=0).repeat(scale, axis=1)
    return add_legend(picture, np.searchsorted(list(lines), label), legend)


def describe_classes(
    label: np.ndarray, description: DatasetDescription, mask: Optional[mask_pixels.Mask] = None
) -> Dict[int, str]:
    """A line for each label that is there: its class, its pixels, and what these are in the mask's
    file: numbers, indices with their colors, or colors.

    Args:
      label: uint8 [H, W].
      description: description of the classes.
      mask: that the label was read from; None where it is no image.
    """
    found = collections.defaultdict(list)
    if mask is not None and mask.rows.shape == label.shape:
        rows, first = np.unique(mask.rows, return_index=True)
        for row, place in zip(rows, first):
            color = " ".join(map(str, mask.shown[row]))
            number = str(mask.stored[row])
            texts = {
                mask_pixels.GRAY: number,
                mask_pixels.PALETTE: f"{number} ({color})",
                mask_pixels.COLOR: color,
            }
            found[int(label.flat[place])].append(texts[mask.kind])
    lines = {}
    for i, pixels in zip(*map(np.ndarray.tolist, np.unique(label, return_counts=True))):
        name = f"{i} {description.class_names[i]}" if i != IGNORE_LABEL else "ignored"
        more = [*found[i][:_SHOWN], *["..."] * (len(found[i]) > _SHOWN)]
        lines[i] = f"{name}: {pixels} pixels" + (f", {', '.join(more)} in its mask" if more else "")
    return lines


def _mask_of(item: Item) -> Optional[mask_pixels.Mask]:
    if not isinstance(item.label, str) or not item.label.lower().endswith(IMAGE_SUFFIXES):
        return None
    return mask_pixels.read(item.label)
