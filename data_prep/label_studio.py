"""Label Studio's own JSON of tasks, and its short form JSON_MIN, in COCO's form."""

import collections
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

import numpy as np

from data_prep import outlines
from data_prep.images import IMAGE_SUFFIXES

_DONE = ("annotations", "completions")  # Today's name of what people drew, and the former one.
_HALF = 128  # Of a brush's opacity, up from which a pixel is inside.
_CHANNELS = 4
# Results that are about the whole image, or about other results.
_NO_SHAPES = {"choices", "textarea", "rating", "number", "taxonomy", "datetime", "relation"}


def is_export(content: Any) -> bool:
    """Whether the content of a JSON file is a list of Label Studio's tasks."""
    if not isinstance(content, list) or not content:
        return False
    return all(
        isinstance(task, dict)
        and ("annotation_id" in task or ("data" in task and any(key in task for key in _DONE)))
        for task in content
    )


def read(content: Sequence[Dict[str, Any]]) -> Tuple[Dict[str, Any], List[str]]:
    """Reads tasks.

    Of several annotations of one task the ground truth counts, else the one that was changed last.

    Returns:
      The content as of COCO's JSON, its annotations in the order in which they are drawn; lines
      for the user.

    Raises:
      KeyError, TypeError, ValueError, AttributeError: they are damaged.
    """
    images, annotations, several, empty = [], [], 0, 0
    for index, (data, versions) in enumerate(_tasks(content)):
        versions = [v for v in versions if not (v.get("was_cancelled") or v.get("skipped"))]
        if not versions:
            empty += 1
            continue
        several += len(versions) > 1
        chosen = max(
            versions, key=lambda v: (bool(v.get("ground_truth")), str(v.get("updated_at") or ""))
        )
        name, shapes = _image_name(data), _shapes(chosen["result"])
        size = next((s for s in map(_size, chosen["result"]) if s), (None, None))
        images.append({"id": index, "file_name": name, "height": size[0], "width": size[1]})
        annotations += [{"image_id": index, **_annotation(shape, name)} for shape in shapes]
    labels = sorted({annotation["label"] for annotation in annotations} - {None})
    for annotation in annotations:
        label = annotation["label"]
        annotation["category_id"] = labels.index(label) if label in labels else None
    categories = [{"id": number, "name": name} for number, name in enumerate(labels)]
    notes = [f"left out, tasks that nobody annotated: {empty}."] if empty else []
    if several:
        notes.append(
            f"several annotations of a task: {several} tasks, of which the ground truth counts, "
            "else the last."
        )
    return {"images": images, "annotations": annotations, "categories": categories}, notes


def _tasks(content: Sequence[Dict[str, Any]]) -> Iterable[Tuple[Dict[str, Any], List[Any]]]:
    """(data, annotations) of each task; the rows of JSON_MIN have one annotation each."""
    rows = collections.defaultdict(list)
    for task in content:
        done = next((task[key] for key in _DONE if key in task), None)
        if "annotation_id" in task and done is None:
            rows[task["id"]].append(task)
        else:
            yield task["data"], done or []
    for some in rows.values():
        yield some[0], [{**row, "result": _results(row)} for row in some]


def _results(row: Dict[str, Any]) -> List[Dict[str, Any]]:
    """The results of a row of JSON_MIN, whose fields are those of their values."""
    lists = [value for value in row.values() if isinstance(value, list)]
    return [{**e, "value": e} for entries in lists for e in entries if isinstance(e, dict)]


def _image_name(data: Dict[str, Any]) -> str:
    texts = [value for value in data.values() if isinstance(value, str)]
    images = [t for t in texts if t.split("?d=")[-1].split("?")[0].lower().endswith(IMAGE_SUFFIXES)]
    return data.get("image") or (images or texts)[0]


def _size(result: Dict[str, Any]) -> Optional[Tuple[int, int]]:
    """(height, width) of the image; None where a result does not tell."""
    sides = result.get("original_height"), result.get("original_width")
    return None if None in sides else tuple(map(int, sides))


def _shapes(results: Sequence[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """Results that are shapes; of two that are alike, shape and label of two controls, the one
    that has a label."""
    shapes = [r for r in results if "value" in r and r.get("type") not in _NO_SHAPES]
    shapes = [r for r in shapes if not _NO_SHAPES & set(r["value"])]
    labelled = [_outline(r["value"]) for r in shapes if _labels(r["value"])]
    return [r for r in shapes if _labels(r["value"]) or _outline(r["value"]) not in labelled]


def _outline(value: Dict[str, Any]) -> Dict[str, Any]:
    return {key: part for key, part in value.items() if not key.endswith("labels")}


def _labels(value: Dict[str, Any]) -> List[str]:
    return next((v for key, v in value.items() if key.endswith("labels") and v), [])


def _annotation(result: Dict[str, Any], name: str) -> Dict[str, Any]:
    labels = _labels(result["value"])
    kind = result.get("type") or next(
        (key for key in result["value"] if key.endswith("labels")), "unknown"
    )
    segmentation, cause = None, ""
    if len(labels) > 1:
        cause = "they have several labels"
    elif result.get("image_rotation"):
        cause = "their image was turned while it was annotated"
    elif not _size(result):
        cause = "they do not tell the size of their image"
    else:
        try:
            segmentation = _segmentation(result["value"], _size(result))
            cause = "" if segmentation else f"they are {kind}, which have no outline"
        except (KeyError, TypeError, ValueError):
            cause = f"they are {kind}, and damaged"
    label = str(labels[0]) if labels else None
    identifier = f"{label!r} ({kind} of {name})"
    return {"id": identifier, "label": label, "segmentation": segmentation, "cause": cause}


def _segmentation(value: Dict[str, Any], size: Tuple[int, int]):
    """COCO's segmentation; None where a shape has no outline, as points and boxes."""
    height, width = size
    scale = np.array([width, height]) / 100  # Coordinates are percent.
    if "rle" in value:
        pixels = decode_runs(bytes(value["rle"]), height * width * _CHANNELS)
        opacity = pixels.reshape(height, width, _CHANNELS)[..., -1]
        return outlines.runs(opacity >= _HALF, (0, 0), size)
    if "points" in value:
        return [(np.array(value["points"], np.float64).reshape(-1, 2) * scale).ravel().tolist()]
    if "radiusX" in value:
        center = np.array([value["x"], value["y"]]) * scale
        radii = np.array([value["radiusX"], value["radiusY"]]) * scale
        return outlines.ellipse(center, radii, value.get("rotation") or 0)
    return None


def decode_runs(packed: bytes, count: int) -> np.ndarray:
    """The bytes of a brush, packed as by the library rle-pack.

    After the number of words (32 bits), the bits of a word less one (5) and those of four kinds of
    lengths less one (4 each) come chunks: a bit for a run, the kind of its length (2), the length
    less one, and the word that is repeated, or as many words.

    Args:
      packed: what is decoded.
      count: bytes that it has to give.

    Returns:
      uint8 [count].

    Raises:
      ValueError: it is damaged, gives another number of bytes, or has no words of 8 bits.
    """
    bits = np.unpackbits(np.frombuffer(packed, np.uint8))
    text = "".join(map(str, bits.tolist()))
    if text[:37] != f"{count:032b}{7:05b}":
        raise ValueError("runs of another size, or not of bytes")
    lengths = [int(text[i : i + 4], 2) + 1 for i in range(37, 53, 4)]
    position, written = 53, 0
    decoded = np.empty(count, np.uint8)
    while written < count:
        start = position + 3 + lengths[int(text[position + 1 : position + 3], 2)]
        end = written + int(text[position + 3 : start], 2) + 1
        words = 1 if text[position] == "1" else end - written
        position = start + 8 * words
        if end > count or position > len(text):
            raise ValueError("runs that end early or late")
        decoded[written:end] = np.packbits(bits[start:position])
        written = end
    return decoded
