"""One example on its way into a record: reading, checking, and what can be wrong with it.

This runs in worker processes, which therefore never import TensorFlow.
"""

import dataclasses
import io
from typing import Any, Callable, Dict, Optional, Tuple, Union

import numpy as np
from PIL import Image

from adl_tf.data.description import IGNORE_LABEL

_STORED_FORMATS = {"JPEG": "jpeg", "MPO": "jpeg", "PNG": "png"}


class BadExample(Exception):
    """An example that cannot be converted.

    Attributes:
      file: what to look at.
      reason: what is wrong with it.
      mend: what to do about it.
    """

    def __init__(self, file: str, reason: str, mend: str):
        super().__init__(file, reason, mend)  # All three, so that it can be pickled.
        self.file, self.reason, self.mend = file, reason, mend

    def __str__(self):
        return f"{self.file}: {self.reason}; {self.mend}."


@dataclasses.dataclass(frozen=True)
class Item:
    """What a converter lists: the ingredients of one example, none of them read yet.

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
    """What a converter makes of an item.

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
    """Converts one item and checks what comes out; what is wrong is returned, not raised.

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
        label = png_bytes(example.label)
    return EncodedExample(
        item.name, example.image, example.image_format, example.size, label, pixels
    )


def read_image(path: str) -> Tuple[bytes, str, Tuple[int, int]]:
    """Reads an image file, as it is when it is a JPEG or PNG, as a PNG otherwise.

    Returns:
      bytes, "jpeg" or "png", (height, width).

    Raises:
      BadExample: the file is missing, or not an image that decodes to its end.
    """
    content = _read(path, "image")
    with _open(content, path) as image:
        size = image.height, image.width
        if image.format in _STORED_FORMATS:
            image.draft("RGB", (1, 1))  # A JPEG is still read to its end, but far faster.
            _decode(image, path)
            return content, _STORED_FORMATS[image.format], size
        _decode(image, path)
        return png_bytes(np.asarray(image.convert("RGB"))), "png", size


def read_pixels(path: str) -> np.ndarray:
    """Decodes an image file to uint8 [H, W, 3].

    Raises:
      BadExample: as `read_image`.
    """
    with _open(_read(path, "image"), path) as image:
        _decode(image, path)
        return np.asarray(image.convert("RGB"))


def read_label(path: str) -> np.ndarray:
    """Reads a label map, the ids of a gray or the palette indices of a palette image.

    Returns:
      uint8 [H, W].

    Raises:
      BadExample: the file is missing, does not decode, or is not 8-bit single-channel.
    """
    with _open(_read(path, "label"), path) as image:
        _decode(image, path)
        if image.mode not in ("L", "P"):
            raise BadExample(
                path,
                f"a label map of mode {image.mode}",
                "store class ids in an 8-bit gray or palette PNG",
            )
        return np.array(image)


def map_ids(label: np.ndarray, mapping: Dict[int, int], path: str) -> np.ndarray:
    """Replaces the ids of a label map.

    Args:
      label: uint8 [H, W].
      mapping: new id of each old one.
      path: of the label, for the message.

    Returns:
      uint8 [H, W].

    Raises:
      BadExample: an id that the mapping does not have.
    """
    table = np.array([mapping.get(old, -1) for old in range(256)])
    mapped = table[label]
    if mapped.min() < 0:
        unknown = label[mapped < 0]
        raise BadExample(
            path,
            f"unknown label id {unknown[0]} in {unknown.size} pixels",
            f"the data set's own ids are {min(mapping)}..{max(mapping)}",
        )
    return mapped.astype(np.uint8)


def shrink(image_path: str, label: Optional[np.ndarray], scale: float) -> Example:
    """Makes an example smaller: area averages of the image, nearest of the label.

    Args:
      image_path: of the image.
      label: uint8 [H, W]; None without.
      scale: of both sides.

    Raises:
      BadExample: the image does not decode, or the label has another size.
    """
    pixels = read_pixels(image_path)
    size = tuple(round(side * scale) for side in pixels.shape[:2])
    if label is not None:
        _check_size(label, pixels.shape[:2], image_path)
        label = np.array(Image.fromarray(label).resize(size[::-1], Image.Resampling.NEAREST))
    image = Image.fromarray(pixels).resize(size[::-1], Image.Resampling.BOX)
    return Example(png_bytes(np.asarray(image)), "png", size, label)


def png_bytes(pixels: np.ndarray) -> bytes:
    """Encodes uint8 [H, W] or [H, W, 3] as a PNG file."""
    buffer = io.BytesIO()
    # Twice as fast as the default level, for a tenth more bytes.
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=3)
    return buffer.getvalue()


def _read(path, what):
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        raise BadExample(path, f"the {what} is missing", "add it or remove its pair") from None
    except OSError as error:
        raise BadExample(path, f"cannot be read ({error.strerror})", "mend the file") from None


def _open(content, path):
    try:
        return Image.open(io.BytesIO(content))
    except Image.DecompressionBombError as error:
        raise BadExample(path, f"too large ({error})", "shrink it or remove its pair") from None
    except (OSError, SyntaxError, ValueError):
        raise BadExample(path, "not an image file", "fetch it again") from None


def _decode(image, path):
    try:
        image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadExample(path, f"does not decode ({error})", "fetch it again") from None


def _check_size(label, size, file):
    if label.shape != size:
        raise BadExample(
            file,
            f"the label is {label.shape[0]}x{label.shape[1]}, the image {size[0]}x{size[1]}",
            "give both the same size",
        )
