"""Masks of any kind and depth, read into a short table of what their pixels are.

What a pixel means is not decided here, see `mask_reading`. This runs in worker processes, which
therefore never import TensorFlow.
"""

import re
from typing import NamedTuple

import numpy as np
from PIL import Image

from data_prep.errors import BadExample
from data_prep.images import as_shown, decode, open_file

GRAY, PALETTE, COLOR = "gray", "palette", "color"
NONE = -1  # No number, or no color.
_LOSSY_FORMATS = ("JPEG", "MPO", "JPEG2000")
_TINT = 16  # Channels of a gray image differ by less after compression.
_STORE = "store class ids in an 8-bit gray or palette PNG"


class Mask(NamedTuple):
    """The pixels of a mask, as rows of a table of what they are.

    Attributes:
      kind: GRAY, PALETTE or COLOR.
      rows: integers [H, W], the row of each pixel.
      stored: int64 [R], the number in the file: gray value or index; -1 for colors.
      shown: int64 [R, 3], the color that a viewer shows; -1 for numbers that have none.
      lossy: whether the file's compression changes pixels.
    """

    kind: str
    rows: np.ndarray
    stored: np.ndarray
    shown: np.ndarray
    lossy: bool = False

    @property
    def counts(self) -> np.ndarray:
        """int64 [R], pixels of each row."""
        return np.bincount(self.rows.ravel(), minlength=len(self.stored))

    @property
    def brightness(self) -> np.ndarray:
        """int64 [R], 0..255 of what is shown in gray; -1 for others."""
        gray = (self.shown == self.shown[:, :1]).all(axis=1)
        return np.where(gray, self.shown[:, 0], NONE)


def read(path: str) -> Mask:
    """Reads a mask.

    Raises:
      BadExample: the file is missing, does not decode, or holds what is no mask: several frames,
        channels of 16 bits, numbers with fractions.
    """
    with open_file(path, "label") as image:
        raw_mode, lossy, mode = _raw_mode(image), _is_lossy(image), image.mode
        decode(image, path)
        if ";16" in raw_mode and mode in ("LA", "RGB", "RGBA"):
            raise BadExample(path, "a mask of several channels of 16 bits", _STORE)
        palette = image.getpalette("RGB") if mode in ("P", "PA") else None
        pixels = np.asarray(as_shown(image))
        if _has_frames(image):
            raise BadExample(path, "a mask of several frames", "store one image for each mask")
    if mode in ("LA", "La", "PA"):
        pixels = pixels[..., 0]
    if palette is not None:
        return _of_palette(pixels, np.array(palette, np.int64).reshape(-1, 3))
    if mode in ("RGB", "RGBA", "RGBX", "RGBa") and not lossy:
        return _of_colors(pixels)
    if mode == "RGB" and np.ptp(pixels, axis=-1).max() < _TINT:
        pixels = pixels[..., 1]
    if pixels.ndim == 3:
        reason = "a mask of colors in a format that changes pixels" if lossy else f"mode {mode}"
        raise BadExample(path, reason, _STORE)
    if pixels.dtype.kind == "f" and not (pixels == np.rint(pixels)).all():
        raise BadExample(path, "a mask of numbers with fractions", _STORE)
    return _of_numbers(pixels, _depth(mode, raw_mode))._replace(lossy=lossy)


def read_label(path: str) -> np.ndarray:
    """Reads a label map of numbers: those of a gray image, or the indices of a palette.

    Returns:
      uint8 [H, W].

    Raises:
      BadExample: as `read`; colors, a number beyond 8 bits, or a format that changes pixels.
    """
    mask = read(path)
    if mask.lossy:
        raise BadExample(path, "a label map in a format that changes pixels", _STORE)
    numbers = mask.brightness if mask.kind == COLOR else mask.stored
    unfit = numbers[(numbers < 0) | (numbers > 255)]
    if unfit.size:
        reason = "a label map of colors" if mask.kind == COLOR else f"unknown label id {unfit[0]}"
        raise BadExample(path, reason, _STORE)
    return numbers.astype(np.uint8)[mask.rows]


def _of_palette(pixels: np.ndarray, palette: np.ndarray) -> Mask:
    rows, indices = _table_of_bytes(pixels)
    padded = np.concatenate([palette, np.zeros((256, 3), np.int64)])  # As viewers do.
    return Mask(PALETTE, rows, indices, padded[indices])


def _of_colors(pixels: np.ndarray) -> Mask:
    codes = pixels[..., :3].astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
    found, rows = np.unique(codes, return_inverse=True)
    shown = np.stack([found >> 16, found >> 8 & 255, found & 255], -1)
    return Mask(COLOR, rows.reshape(codes.shape), np.full(len(found), NONE), shown)


def _of_numbers(pixels: np.ndarray, depth: int) -> Mask:
    if pixels.dtype == np.uint8:
        rows, found = _table_of_bytes(pixels)
    else:
        found, rows = np.unique(pixels.astype(np.int64), return_inverse=True)
        rows = rows.reshape(pixels.shape)
    largest = 2**depth - 1
    if depth < 8:  # Which Pillow has stretched, except for one bit.
        found = found if depth == 1 else found * largest // 255
    gray = np.where(found * 255 % largest == 0, found * 255 // largest, NONE)
    gray = np.where((gray < 0) | (gray > 255), NONE, gray)
    return Mask(GRAY, rows, found, np.repeat(gray[:, np.newaxis], 3, axis=1))


def _table_of_bytes(pixels):
    """(rows [H, W], the values of the rows), faster than by sorting."""
    found = np.flatnonzero(np.bincount(pixels.ravel(), minlength=256))
    row_of = np.zeros(256, np.uint8)
    row_of[found] = np.arange(len(found))
    return row_of[pixels], found


def _raw_mode(image: Image.Image) -> str:
    """Storage of the pixels, such as "L;4" or "RGB;16B", in Pillow's words."""
    arguments = image.tile[0][3] if image.tile else ""
    first = arguments[0] if isinstance(arguments, tuple) and arguments else arguments
    return first if isinstance(first, str) else ""


def _depth(mode: str, raw_mode: str) -> int:
    """Bits of a gray image."""
    if mode == "1":
        return 1
    if mode != "L":
        return 16
    stretched = re.match(r"L;([24])", raw_mode)
    return int(stretched[1]) if stretched else 8


def _has_frames(image: Image.Image) -> bool:
    try:
        return getattr(image, "is_animated", False)
    except Exception:  # Damage behind the first frame raises errors of many types.
        return False


def _is_lossy(image: Image.Image) -> bool:
    if image.format == "WEBP":
        image.fp.seek(0)
        lossless = b"VP8L" in image.fp.read(64)
        return not lossless
    return image.format in _LOSSY_FORMATS or image.info.get("compression") == "jpeg"
