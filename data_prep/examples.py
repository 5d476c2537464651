"""One example on its way into a record: what a converter lists, makes of it, and what is written.

This runs in worker processes, which therefore never import TensorFlow.
"""

import dataclasses
from typing import Any, Callable, Optional, Tuple, Union

import numpy as np
from PIL import Image

from adl_tf.data.description import IGNORE_LABEL
from data_prep.errors import BadExample
from data_prep.images import encode_png, read_pixels


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
    convert: Callable[[Item], Example], num_classes: int, item: Item
) -> Union[EncodedExample, BadExample]:
    """Converts one item and checks the result; what is wrong is returned, not raised.

    Args:
      convert: the converter's part.
      num_classes: label ids are 0..num_classes-1 and the ignore label.
      item: the ingredients.
    """
    try:
        return _encode(convert(item), num_classes, item)
    except BadExample as error:
        return error


def _encode(example, num_classes, item):
    pixels, label = np.zeros(256, np.int64), b""
    if example.label is not None:
        file = item.label if isinstance(item.label, str) else item.name
        _check_size(example.label, example.size, file)
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


def shrink(image_path: str, label: Optional[np.ndarray], scale: float) -> Example:
    """Makes an example smaller: area averages of the image, nearest of the label.

    Args:
      image_path: path of the image.
      label: uint8 [H, W]; None without.
      scale: factor of both sides.

    Raises:
      BadExample: the image does not decode, or the label has another size.
    """
    pixels = read_pixels(image_path)
    size = tuple(round(side * scale) for side in pixels.shape[:2])
    if label is not None:
        _check_size(label, pixels.shape[:2], image_path)
        label = np.array(Image.fromarray(label).resize(size[::-1], Image.Resampling.NEAREST))
    image = Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BOX)
    return Example(encode_png(np.asarray(image)), "png", size, label)


def _check_size(label, size, file):
    if label.shape != size:
        raise BadExample(
            file,
            f"the label is {label.shape[0]}x{label.shape[1]}, the image {size[0]}x{size[1]}",
            "give both the same size",
        )
