"""Polygons in JSON files, one file for each image, as labelme writes them."""

from typing import Sequence, Tuple

import numpy as np
from PIL import Image, ImageDraw

from adl_tf.files import read_json
from data_prep.errors import BadExample, ConversionError

_MOST = 10  # Damaged files that are named.
_BACKGROUND = ("_background_", "background")


def class_names(paths: Sequence[str]) -> Tuple[str, ...]:
    """Background and the labels of all files, by name.

    Raises:
      ConversionError: files are damaged, ten of which are named: their labels are unknown, and
        with them the classes.
    """
    found, errors = set(), []
    for path in paths:
        try:
            found.update(label for label, _ in _read(path)[1])
        except BadExample as error:
            errors.append(str(error))
    if errors:
        raise ConversionError(f"{len(errors)} damaged files: {' '.join(errors[:_MOST])}")
    return (_BACKGROUND[1], *sorted(found - set(_BACKGROUND)))


def draw(path: str, names: Sequence[str]) -> np.ndarray:
    """The label map of a file, uint8 [H, W]: later polygons over earlier ones, 0 beside them.

    Raises:
      BadExample: the file is damaged, or has a label that is none of the names.
    """
    (height, width), shapes = _read(path)
    canvas = Image.new("L", (width, height))
    for label, points in shapes:
        if label not in (*names, *_BACKGROUND):
            raise BadExample(
                path, f"the label {label!r} is no class", f"use one of {', '.join(names)}"
            )
        fill = list(names).index(label) if label in names else 0
        ImageDraw.Draw(canvas).polygon(points, fill=fill)
    return np.array(canvas)


def _read(path: str):
    """((height, width), [(label, points)]) of a file."""
    try:
        content = read_json(path)
        size = int(content["imageHeight"]), int(content["imageWidth"])
        return size, [(str(shape["label"]), _outline(shape)) for shape in content["shapes"]]
    except FileNotFoundError:
        raise BadExample(path, "missing", "add it or remove its image") from None
    except (KeyError, TypeError, ValueError, OSError) as error:
        reason = f"not a file of polygons ({type(error).__name__}: {error})"
        raise BadExample(path, reason, "save it again") from None


def _outline(shape):
    points = [(float(x), float(y)) for x, y in shape["points"]]
    kind = shape.get("shape_type", "polygon")
    if kind == "rectangle":
        (left, top), (right, bottom) = points
        return [(left, top), (right, top), (right, bottom), (left, bottom)]
    if kind != "polygon" or len(points) < 3:
        raise ValueError(f"a shape of type {kind!r} with {len(points)} points")
    return points
