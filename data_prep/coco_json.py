"""Annotations in COCO's form: outlines and runs of pixels, and how they become label maps."""

import collections
import functools
import math
import re
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
from pycocotools import mask as coco_mask

from adl_tf.data.description import IGNORE_LABEL
from data_prep import outlines
from data_prep.annotation_files import load
from data_prep.class_file import IGNORED
from data_prep.errors import BadExample, ConversionError
from data_prep.examples import Example, Item
from data_prep.images import read_image, read_size
from data_prep.labelme import BACKGROUND, BACKGROUNDS
from data_prep.naming import unique_names

_FAR = (
    10  # Sizes of an image, beyond which a corner is damaged: drawing takes as long as it is far.
)
# Numbers of compressed runs: of up to 30 bits, 5 in a character, of which the last is below P.
_NUMBERS = re.compile("(?:[P-o]{0,5}[0-O])+").fullmatch
_REMEDY = "export the annotations again, as outlines in pixels"


class Drawing(NamedTuple):
    """The annotations of one image.

    Attributes:
      height, width: height and width of the image; None where the file does not tell.
      objects: (label, COCO's segmentation, whether it is a crowd), small over large.
      fault: why an annotation of it comes to nothing; "" where none does.
    """

    height: Optional[int]
    width: Optional[int]
    objects: List[Tuple[int, Any, bool]]
    fault: str


class Listing(NamedTuple):
    """The content of files of annotations.

    Attributes:
      names: names of the classes, background first.
      splits: the items of each split; their labels are Drawings.
      faults: annotations that belong to no image.
      notes: annotations that come to nothing, counted by cause, a line each.
    """

    names: Sequence[str]
    splits: Dict[str, List[Item]]
    faults: List[BadExample]
    notes: List[str]


def read(files: Dict[str, str], find_image: Callable[[str, str], str]) -> Listing:
    """Reads files of annotations.

    Categories called `background` or `_background_` are class 0, `__ignore__` is ignored.

    Args:
      files: path of the file of annotations of each split.
      find_image: path of an image, by its name and the split of the file that names it.

    Raises:
      ConversionError: a file is damaged, or has other categories than the first.
    """
    names, splits, faults, notes = (), {}, [], []
    for split, path in files.items():
        try:
            content, more = load(path)
            categories = {_key(c["id"]): str(c["name"]) for c in content["categories"]}
            own, labels = _classes_of(categories)
            # Some tools leave the area out; the order of the file stays.
            areas = [a.get("area") or 0 for a in content["annotations"]]
            content["annotations"] = [
                {**a, "area": area} for a, area in zip(content["annotations"], areas)
            ]
            find = functools.partial(find_image, split=split)
            splits[split], orphans, lines = list_items(path, content, find, labels)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConversionError(
                f"{path}: not a file of annotations ({type(error).__name__}: {error}); export "
                "it again."
            ) from error
        if names and own != names:
            raise ConversionError(
                f"{path}: categories {', '.join(own[1:])}; {next(iter(files.values()))} has "
                f"{', '.join(names[1:])}. All splits need the same."
            )
        names = own
        faults += orphans
        notes += more + lines
    return Listing(names, splits, faults, notes)


def list_items(
    path: str, content, find_image: Callable[[str], str], labels: Dict[str, int]
) -> Tuple[List[Item], List[BadExample], List[str]]:
    """The images of a file of annotations, each with what is drawn on it.

    Args:
      path: path of the file.
      content: content of the file.
      find_image: path of an image by its name.
      labels: by category id as text. Annotations of other categories are left out.

    Returns:
      items, one for each image; annotations without one; lines about those that come to nothing.
    """
    images = {_key(image["id"]): image for image in content["images"]}
    known = {_key(category["id"]) for category in content["categories"]}
    objects, broken = collections.defaultdict(list), collections.defaultdict(list)
    causes, orphans = collections.defaultdict(list), []
    for annotation in sorted(content["annotations"], key=lambda a: -a["area"]):
        name = f"annotation {annotation.get('id')}"
        image, category = _key(annotation["image_id"]), _key(annotation["category_id"])
        if image not in images:
            reason = f"{name} belongs to no image, its image_id is {image!r}"
            orphans.append(BadExample(path, reason, "export images and annotations together"))
            causes["their image_id is that of no image"].append(name)
        elif category not in known:
            shown = ", ".join(sorted(known)[:5])
            causes[f"their category_id is none of {shown}"].append(name)
            broken[image].append(f"category_id {category} of {name} is no category")
        elif category in labels:
            segmentation = annotation.get("segmentation")
            cause = _find_fault(segmentation, images[image], annotation.get("cause"))
            if cause:
                causes[cause].append(name)
                broken[image].append(f"{name}: {cause}")
            crowd = bool(annotation.get("iscrowd"))
            objects[image].append((labels[category], segmentation, crowd))
    notes = [
        f"{path}: {len(some)} of {len(content['annotations'])} annotations come to nothing, since "
        f"{cause}; the first is {some[0]}."
        for cause, some in causes.items()
    ]
    files = [image["file_name"] for image in content["images"]]
    names = unique_names([file.replace("\\", "/") for file in files])
    items = []
    for name, file, image in zip(names, files, content["images"]):
        key = _key(image["id"])
        fault = broken[key][0] if key in broken else ""
        drawing = Drawing(image["height"], image["width"], objects[key], fault)
        items.append(Item(name, find_image(file), drawing))
    return items, orphans, notes


def _key(identifier: Any) -> str:
    """An id as text: some tools write a number on one side and its text on the other."""
    if isinstance(identifier, float) and identifier.is_integer():
        identifier = int(identifier)
    return str(identifier)


def _classes_of(categories: Dict[str, str]) -> Tuple[Tuple[str, ...], Dict[str, int]]:
    """Names of the classes, and the label of each category."""
    ordered = sorted(categories, key=lambda k: (int(k) if k.isdigit() else math.inf, k))
    special = {name: 0 for name in BACKGROUNDS}
    special[IGNORED] = IGNORE_LABEL
    others = [categories[key] for key in ordered if categories[key].lower() not in special]
    names = (BACKGROUND, *dict.fromkeys(others))
    labels = {name: label for label, name in enumerate(names)}
    return names, {k: special.get(n.lower(), labels.get(n, 0)) for k, n in categories.items()}


def _find_fault(segmentation: Any, image: Dict[str, Any], cause: Optional[str]) -> str:
    """Why an annotation draws nothing, in words for many of them; "" if it does.

    Args:
      segmentation: COCO's.
      image: COCO's entry.
      cause: why there is no segmentation, if a reader of another format knows.
    """
    if isinstance(segmentation, dict):
        if segmentation.get("size") != [image["height"], image["width"]]:
            return "their runs are of another size than the image"
        counts = segmentation.get("counts")
        empty = not counts or (isinstance(counts, list) and not any(counts[1::2]))
        return "their runs have no pixel" if empty else ""
    if not segmentation:
        return cause or "they have no outline"
    try:
        parts = _corners(segmentation)
    except (TypeError, ValueError):
        return "their corners are no numbers"
    drawn = [corners for corners in parts if len(corners) > 2]
    if not drawn:
        return "their outlines have fewer than three corners, as boxes do"
    corners = np.concatenate(drawn)
    if not np.isfinite(corners).all():
        return "their corners are no numbers"
    size = np.array([image["width"], image["height"]])
    if corners.min() >= 0 and corners.max() <= 1 and size.max() > 2:
        return "their corners are shares of the image, 0 to 1, not pixels"
    if np.abs(corners).max() > _FAR * size.max():
        return "their corners are far outside of the image"
    if not any(((o.max(axis=0) > 0) & (o.min(axis=0) < size)).all() for o in drawn):
        return "their outlines are outside of the image"
    return ""


def _corners(segmentation: List[Any]) -> List[np.ndarray]:
    """float64 [corners, 2] of each outline: of lists of numbers, as COCO has them, or of pairs; of
    one outline alone as well."""
    first = segmentation[0]
    if not isinstance(first, (list, tuple)):
        return [np.array(segmentation, np.float64).reshape(-1, 2)]
    if all(isinstance(part, (list, tuple)) and len(part) == 2 for part in segmentation):
        return [np.array(segmentation, np.float64).reshape(-1, 2)]
    return [np.array(part, np.float64).reshape(-1, 2) for part in segmentation]


def convert(item: Item) -> Example:
    """Draws the label map.

    Raises:
      BadExample: an annotation comes to nothing or is damaged, or the image is bad.
    """
    height, width, objects, fault = item.label
    if fault:
        raise BadExample(item.image, f"its annotation cannot be drawn, {fault}", _REMEDY)
    if height is None:
        height, width = read_size(item.image)
    label = np.zeros((height, width), np.uint8)
    crowds = np.zeros((height, width), bool)
    try:
        for value, segmentation, crowd in objects:
            if isinstance(segmentation, dict):
                inside = _decode_runs(segmentation, height, width)
                if crowd:
                    crowds |= inside
                else:
                    label[inside] = value
                continue
            for corners in _corners(segmentation):
                if len(corners) > 2:
                    window, inside = outlines.inside(corners, (height, width))
                    label[window][inside] = value
    except (KeyError, TypeError, ValueError) as error:
        reason = f"its annotation cannot be drawn, {error}"
        raise BadExample(item.image, reason, "download the annotations again") from None
    label[crowds & (label == 0)] = IGNORE_LABEL
    return Example(*read_image(item.image), label)


def _decode_runs(segmentation, height, width):
    """Bool [height, width] of alternating runs of pixels outside and inside, column by column."""
    if isinstance(segmentation["counts"], str):
        return _decode_text(segmentation["counts"], height, width)
    runs = np.array(segmentation["counts"])
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return inside.reshape(width, height).T


def _decode_text(counts: str, height: int, width: int) -> np.ndarray:
    """Bool [height, width] of compressed runs."""
    # It writes past its memory where the last number has no end, and leaves memory as it was where
    # numbers are missing.
    inside = (
        coco_mask.decode({"size": [height, width], "counts": counts}) if _NUMBERS(counts) else None
    )
    if inside is None or coco_mask.encode(inside)["counts"].decode() != counts:
        raise ValueError("its runs are damaged")
    return inside > 0
