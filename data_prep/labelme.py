"""Shapes in JSON files, one file for each image, as labelme writes them."""

import base64
import collections
import io
import math
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from PIL import Image, ImageDraw

from adl_tf.data.description import IGNORE_LABEL, Size
from adl_tf.system.files import read_json
from data_prep.class_file import IGNORED
from data_prep.errors import BadExample, ConversionError
from data_prep.images import read_size

_MOST = 10  # Damaged files that are named.
BACKGROUND = "background"
BACKGROUNDS = ("_background_", BACKGROUND)  # labelme's name of class 0, and the usual one.
Point = Tuple[float, float]


class Shape(NamedTuple):
    """One shape.

    Attributes:
      label: its name.
      kind: "polygon", "circle" or "mask"; a rectangle is a polygon.
      points: (x, y) of its corners; of a circle's center and one of its edge; of a mask's top left.
      mask: bool [h, w], which pixels from there on a mask has; else None.
    """

    label: str
    kind: str
    points: List[Point]
    mask: Optional[np.ndarray] = None


class Survey(NamedTuple):
    """The content of a folder's files.

    Attributes:
      labels: labels of all shapes that are drawn, sorted.
      notes: lines for the user about shapes that are not.
    """

    labels: Tuple[str, ...]
    notes: List[str]


def survey(paths: Sequence[str]) -> Survey:
    """Looks through all files.

    Raises:
      ConversionError: files are damaged, ten of which are named: their labels are unknown, and
        with them the classes.
    """
    found, errors, stray = set(), [], collections.defaultdict(list)
    for path in paths:
        try:
            shapes, left_out = _read(path)[1:]
        except BadExample as error:
            errors.append(str(error))
            continue
        found.update(shape.label for shape in shapes)
        for reason in left_out:
            stray[reason].append(path)
    if errors:
        raise ConversionError(f"{len(errors)} damaged files: {' '.join(errors[:_MOST])}")
    notes = [
        f"{places[0]}: {reason} is left out, {len(places)} of these in all files."
        for reason, places in sorted(stray.items())
    ]
    return Survey(tuple(sorted(found)), notes)


def class_names(labels: Sequence[str]) -> Tuple[str, ...]:
    """Background and the labels, by name, where there is no class file."""
    return (BACKGROUND, *sorted(set(labels) - {*BACKGROUNDS, IGNORED}))


def draw(path: str, names: Sequence[str], image: str) -> np.ndarray:
    """The label map of a file: later shapes over earlier ones, 0 beside them.

    As in labelme's own masks, pixels are points at whole coordinates and the edge of a shape is
    inside: its canvas used to end at the last pixel, where shapes up to it would leave a gap.

    Args:
      path: path of the file.
      names: names of the classes, background first. Shapes called `__ignore__` are ignored.
      image: path of the image, for its size where the file does not give it.

    Returns:
      uint8 [H, W].

    Raises:
      BadExample: the file is damaged, or has a label that is none of the names.
    """
    size, shapes, _ = _read(path)
    height, width = size or read_size(image)
    labels: Dict[str, int] = {name: 0 for name in BACKGROUNDS}
    labels.update({name: label for label, name in enumerate(names)}, **{IGNORED: IGNORE_LABEL})
    canvas = Image.new("L", (width, height))
    pen = ImageDraw.Draw(canvas)
    for shape in shapes:
        if shape.label not in labels:
            reason = f"the label {shape.label!r} is no class"
            raise BadExample(path, reason, f"use one of {', '.join(names)}")
        fill = labels[shape.label]
        if shape.kind == "polygon":
            pen.polygon(shape.points, fill=fill)
        elif shape.kind == "circle":
            (x, y), edge = shape.points
            radius = math.dist((x, y), edge)
            pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)
        else:
            corner = tuple(round(coordinate) for coordinate in shape.points[0])
            canvas.paste(fill, corner, Image.fromarray(shape.mask))
    return np.array(canvas)


def _read(path: str) -> Tuple[Optional[Size], List[Shape], List[str]]:
    """(height, width) or None, the shapes of a file, and what others are that have no inside."""
    shapes, left_out = [], []
    try:
        content = read_json(path)
        sides = content.get("imageHeight"), content.get("imageWidth")
        size = None if None in sides else tuple(map(int, sides))
        for entry in content["shapes"]:
            shape = _parse(entry)
            if shape is None:
                kind = entry.get("shape_type") or "polygon"
                left_out.append(f"a {kind} with {len(entry['points'])} points")
            else:
                shapes.append(shape)
    except FileNotFoundError:
        raise BadExample(path, "missing", "add it or remove its image") from None
    except (AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        reason = f"not a file of shapes ({type(error).__name__}: {error})"
        raise BadExample(path, reason, "save it again") from None
    return size, shapes, left_out


def _parse(entry: Dict[str, Any]) -> Optional[Shape]:
    """A shape; None for one that has no inside, such as a point or a line."""
    label, kind = str(entry["label"]), entry.get("shape_type") or "polygon"
    points = [(float(x), float(y)) for x, y in entry["points"]]
    if not np.isfinite(points).all():
        raise ValueError("a coordinate that is no number")
    if kind == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        return Shape(label, "polygon", corners)
    if kind in ("polygon", "rectangle", "oriented_rectangle") and len(points) > 2:
        return Shape(label, "polygon", points)
    if kind == "circle" and len(points) == 2:
        return Shape(label, kind, points)
    if kind == "mask" and points and entry.get("mask"):
        with Image.open(io.BytesIO(base64.b64decode(entry["mask"]))) as image:
            return Shape(label, kind, points, np.asarray(image.convert("L")) > 0)
    return None
