"""One example on its way into a record: what a converter lists, makes of it, and what is written.

This runs in worker processes, which therefore never import TensorFlow.
"""

import dataclasses
import io
from typing import Any, Callable, Optional, Tuple, Union

import numpy as np
from PIL import Image

from adl_tf.data.description import IGNORE_LABEL
from data_prep.errors import BadExample
from data_prep.images import encode_png, to_rgb


@dataclasses.dataclass(frozen=True)
class Item:
    """An item of a conversion: the ingredients of one example, none of them read yet.

    Attributes:
      name: the example's name, unique in its split.
      image: path of the image, or whatever else the converter makes one of.
      label: path of the label map, or whatever else; None without labels.
    """

    name: str
    image: Any
    label: Any = None


@dataclasses.dataclass(frozen=True)
class Example:
    """An example made of an item.

    Attributes:
      image: bytes of a JPEG or PNG file.
      image_format: "jpeg" or "png".
      size: (height, width) of the image.
      label: uint8 [H, W], class ids and the ignore label; None without labels.
    """

    image: bytes
    image_format: str
    size: Tuple[int, int]
    label: Optional[np.ndarray]


@dataclasses.dataclass(frozen=True)
class EncodedExample:
    """An example ready to be written.

    Attributes:
      name: see Item.
      image: see Example, as the next two.
      image_format: "jpeg" or "png".
      size: (height, width).
      label: bytes of a PNG file; empty without labels.
      pixels: int64 [256], how many label pixels have each id.
    """

    name: str
    image: bytes
    image_format: str
    size: Tuple[int, int]
    label: bytes
    pixels: np.ndarray


def try_encode(
    convert: Callable[[Item], Example], num_classes: int, short_side: int, item: Item
) -> Union[EncodedExample, BadExample]:
    """Converts one item and checks the result; what is wrong is returned, not raised.

    Args:
      convert: the converter's part.
      num_classes: label ids are 0..num_classes-1 and the ignore label.
      short_side: in pixels; images whose short side is longer are shrunk to it; 0: none is.
      item: the ingredients.
    """
    try:
        return _encode(convert(item), num_classes, short_side, item)
    except BadExample as error:
        return error


def _encode(example, num_classes, short_side, item):
    file = item.label if isinstance(item.label, str) else item.name
    if example.label is not None and example.label.shape != example.size:
        sizes = "the label is {}x{}, the image {}x{}".format(*example.label.shape, *example.size)
        raise BadExample(file, sizes, "give both the same size")
    if short_side and min(example.size) > short_side:
        example = shrink(example, short_side)
    pixels, label = np.zeros(256, np.int64), b""
    if example.label is not None:
        pixels = np.bincount(example.label.ravel(), minlength=256)
        unknown = [i for i in np.flatnonzero(pixels) if num_classes <= i < IGNORE_LABEL]
        if unknown:
            raise BadExample(
                file,
                f"unknown label id {unknown[0]} in {pixels[unknown[0]]} pixels",
                f"use ids 0..{num_classes - 1}, and {IGNORE_LABEL} for pixels to ignore",
            )
        label = encode_png(example.label)
    return EncodedExample(
        item.name, example.image, example.image_format, example.size, label, pixels
    )


def shrink(example: Example, short_side: int) -> Example:
    """Makes an example smaller: area averages of the image, nearest of the label.

    Args:
      example: a larger one, whose image decodes.
      short_side: of the result, in pixels.
    """
    scale = short_side / min(example.size)
    size = tuple(round(side * scale) for side in example.size)
    with Image.open(io.BytesIO(example.image)) as file:
        image = Image.fromarray(to_rgb(file)).resize(size[::-1], Image.Resampling.BOX)
    label = example.label
    if label is not None:
        label = np.array(Image.fromarray(label).resize(size[::-1], Image.Resampling.NEAREST))
    return Example(encode_png(np.asarray(image)), "png", size, label)
