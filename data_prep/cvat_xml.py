"""CVAT's XML of the shapes on images, "CVAT for images 1.1", in COCO's form."""

import posixpath
from typing import Any, Dict, List, Tuple
from xml.etree import ElementTree

import numpy as np

from adl_tf.data.description import Size
from data_prep import outlines

_ROOT = "annotations"
_NO_INSIDE = ("polyline", "points", "cuboid", "skeleton")
_OTHERS = (*_NO_INSIDE, "tag")  # Types of labels that are no classes unless they are drawn.
_SHAPES = ("polygon", "box", "ellipse", "mask", *_NO_INSIDE)


def is_export(path: str) -> bool:
    """Whether a file is one of CVAT's, told by its first tag.

    Raises:
      OSError: it cannot be read.
    """
    try:
        return next(ElementTree.iterparse(path, ("start",)))[1].tag == _ROOT
    except (ElementTree.ParseError, StopIteration):
        return False


def read(path: str) -> Tuple[Dict[str, Any], List[str]]:
    """Reads a file.

    Boxes and ellipses are filled, as in the masks that CVAT exports; what has a higher z-order
    covers what has a lower one.

    Returns:
      The content as of COCO's JSON, its annotations in the order in which they are drawn; lines
      for the user.

    Raises:
      ValueError: it is damaged, or has tracks in place of images.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise ValueError(str(error)) from None
    if root.find("image") is None and root.find("track") is not None:
        raise ValueError("tracks of a video; export it as CVAT for images 1.1")
    images, annotations = [], []
    for index, element in enumerate(root.iter("image")):
        name = posixpath.join(element.get("subset") or "", element.attrib["name"])
        size = int(element.attrib["height"]), int(element.attrib["width"])
        images.append({"id": index, "file_name": name, "height": size[0], "width": size[1]})
        shapes = [child for child in element if child.tag in _SHAPES]
        for shape in sorted(shapes, key=lambda child: int(child.get("z_order") or 0)):
            annotations.append({"image_id": index, **_annotation(shape, name, size)})
    labels = [e.findtext("name") for e in root.iter("label") if e.findtext("type") not in _OTHERS]
    labels += [annotation["label"] for annotation in annotations]
    ids = {name: number for number, name in enumerate(filter(None, dict.fromkeys(labels)))}
    for annotation in annotations:
        annotation["category_id"] = ids.get(annotation["label"])
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [{"id": number, "name": name} for name, number in ids.items()],
    }
    boxes = sum(annotation["kind"] == "box" for annotation in annotations)
    return content, [f"{path}: {boxes} boxes are filled, as in CVAT's masks."] if boxes else []


def _annotation(shape: ElementTree.Element, name: str, size: Size) -> Dict[str, Any]:
    kind, segmentation, cause = shape.tag, None, ""
    if kind in _NO_INSIDE:
        cause = f"they are of the kind {kind}, which has no inside"
    else:
        try:
            segmentation = _segmentation(shape, size)
        except (KeyError, ValueError):
            cause = f"they are of the kind {kind}, and damaged"
    label = shape.get("label", "")
    identifier = f"{label!r} ({kind} of {name})"
    fields = {"id": identifier, "label": label, "kind": kind}
    return {**fields, "segmentation": segmentation, "cause": cause}


def _segmentation(shape: ElementTree.Element, size: Size):
    """COCO's segmentation of a shape that has an inside."""
    if shape.tag == "polygon":
        return [np.array(_numbers(shape.attrib["points"].replace(";", ","))).tolist()]
    turn = float(shape.get("rotation") or 0)
    if shape.tag == "box":
        sides = (float(shape.attrib[side]) for side in ("xtl", "ytl", "xbr", "ybr"))
        return outlines.rectangle(*sides, turn)
    if shape.tag == "ellipse":
        x, y, *radii = (float(shape.attrib[name]) for name in ("cx", "cy", "rx", "ry"))
        return outlines.ellipse((x, y), radii, turn)
    top, left, height, width = (
        int(float(shape.attrib[name])) for name in ("top", "left", "height", "width")
    )
    counts = np.array(_numbers(shape.attrib["rle"])).astype(np.int64)
    inside = outlines.inside_of_runs(counts, (height, width))
    return outlines.runs(inside, (top, left), size)


def _numbers(text: str) -> List[float]:
    return [float(number) for number in text.split(",")]
