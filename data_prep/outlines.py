"""Shapes of annotation tools as COCO's segmentations: outlines, and runs of pixels."""

from typing import Any, Dict, List, Tuple

import numpy as np
from pycocotools import mask as coco_mask

from adl_tf.data.description import Size

_CORNERS = 72  # Of an outline in place of an ellipse, which differs from it by a thousandth.
Segmentation = List[List[float]]
Window = Tuple[slice, slice]  # Rows and columns of an image.


def inside(corners: np.ndarray, size: Size) -> Tuple[Window, np.ndarray]:
    """The pixels whose centers lie inside of an outline, as pycocotools rounds them.

    Outlines with a side in common share no pixel and leave none between them.

    Args:
      corners: float [n, 2], (x, y) in pixels; n >= 3.
      size: (height, width) of the image, beyond which nothing is.

    Returns:
      The part of the image around the outline; bool of the part's size.
    """
    limits = np.array(size[::-1])
    left, top = np.clip(np.floor(corners.min(axis=0)), 0, limits).astype(int)
    right, bottom = np.clip(np.ceil(corners.max(axis=0)), (left, top), limits).astype(int)
    height, width = int(bottom - top), int(right - left)
    window = slice(top, bottom), slice(left, right)
    if not height * width:
        return window, np.zeros((height, width), bool)
    outline = (corners - (left, top)).ravel().tolist()
    return window, coco_mask.decode(coco_mask.frPyObjects([outline], height, width))[..., 0] > 0


def rectangle(
    left: float, top: float, right: float, bottom: float, degrees: float = 0.0
) -> Segmentation:
    """The outline of a rectangle, turned clockwise about its center."""
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    center = corners.mean(axis=0)
    return _turned(corners - center, degrees, center)


def ellipse(
    center: Tuple[float, float], radii: Tuple[float, float], degrees: float = 0.0
) -> Segmentation:
    """An outline around the area of an ellipse, turned clockwise about its center."""
    angles = np.arange(_CORNERS) * 2 * np.pi / _CORNERS
    corners = np.stack([np.cos(angles), np.sin(angles)], -1)
    doubled = 2 * np.pi / _CORNERS
    corners *= np.sqrt(doubled / np.sin(doubled))  # So that the areas are equal.
    return _turned(corners * radii, degrees, np.array(center))


def _turned(corners: np.ndarray, degrees: float, center: np.ndarray) -> Segmentation:
    """Corners [n, 2] about a center, as y points down."""
    angle = np.deg2rad(degrees)
    turn = np.array([(np.cos(angle), np.sin(angle)), (-np.sin(angle), np.cos(angle))])
    return [(corners @ turn + center).ravel().tolist()]


def runs(mask: np.ndarray, corner: Tuple[int, int], size: Size) -> Dict[str, Any]:
    """COCO's runs of a mask that lies in an image: column by column, outside first.

    Args:
      mask: bool [h, w].
      corner: (top, left) of the mask in the image.
      size: (height, width) of the image.

    Raises:
      ValueError: the mask is not all inside of the image.
    """
    (top, left), (height, width) = corner, size
    below = height - top - mask.shape[0]
    if min(top, left, below, width - left - mask.shape[1]) < 0:
        raise ValueError("a mask beyond the image")
    columns = np.pad(mask, ((top, below), (0, 0))).T.ravel().astype(np.int8)
    edges = np.flatnonzero(np.diff(columns, prepend=0, append=0)) + left * height
    counts = np.diff(edges, prepend=0, append=height * width)
    return {"size": [height, width], "counts": counts.tolist()}


def inside_of_runs(counts: np.ndarray, size: Size) -> np.ndarray:
    """Bool [H, W] of alternating runs outside and inside, row by row.

    Raises:
      ValueError: a run is negative, or they are not as many pixels as the size has.
    """
    counts = np.asarray(counts, np.int64)
    if counts.min(initial=0) < 0 or counts.sum() != size[0] * size[1]:
        raise ValueError("runs that are not the size of their mask")
    return np.repeat(np.arange(len(counts)) % 2 == 1, counts).reshape(size)
