"""COCO's JSON of annotations: outlines and runs of pixels, and how they become label maps."""

import collections
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
from PIL import Image, ImageDraw

from adl_tf.data.description import IGNORE_LABEL
from adl_tf.files import read_json
from data_prep.errors import BadExample, ConversionError
from data_prep.examples import Example, Item
from data_prep.images import read_image
from data_prep.naming import unique_names

_SUBPIXELS = 4  # Outlines are drawn larger and sampled at the centers of pixels.
_BACKGROUND = "background"


def read(
    files: Dict[str, str], find_image: Callable[[str, str], str]
) -> Tuple[Sequence[str], Dict[str, List[Item]]]:
    """Class names, background first, and the items of each split.

    Args:
      files: path of the file of annotations of each split.
      find_image: path of an image, by its name and the split of the file that names it.

    Raises:
      ConversionError: a file is damaged, or has other categories than the first.
    """
    names, splits = (), {}
    for split, path in files.items():
        try:
            content = read_json(path)
            categories = {c["id"]: c["name"] for c in content["categories"]}
            others = [n for _, n in sorted(categories.items()) if n.lower() != _BACKGROUND]
            own = (_BACKGROUND, *dict.fromkeys(others))
            labels = {i: own.index(n) if n in own else 0 for i, n in categories.items()}
            # Some tools leave the area out; the order of the file stays.
            content["annotations"] = [{"area": 0, **a} for a in content["annotations"]]
            items = list_items(content, lambda name, split=split: find_image(name, split), labels)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConversionError(
                f"{path}: not the JSON of annotations ({type(error).__name__}: {error}); export "
                "it again."
            ) from error
        if names and own != names:
            raise ConversionError(
                f"{path}: categories {', '.join(own[1:])}; {next(iter(files.values()))} has "
                f"{', '.join(names[1:])}. All splits need the same."
            )
        names, splits[split] = own, items
    return names, splits


def list_items(
    content, find_image: Callable[[str], str], labels: Dict[int, Optional[int]]
) -> List[Item]:
    """The images of a file of annotations, each with what is drawn on it, small over large.

    Args:
      content: of the file.
      find_image: path of an image by its name.
      labels: by category id; None where a category has no name, so that its image is bad.
        Annotations of other categories are left out.
    """
    objects = collections.defaultdict(list)
    for annotation in sorted(content["annotations"], key=lambda a: -a["area"]):
        if annotation["category_id"] in labels:
            label = labels[annotation["category_id"]]
            crowd = bool(annotation.get("iscrowd"))
            objects[annotation["image_id"]].append((label, annotation["segmentation"], crowd))
    drawings = [(i["height"], i["width"], objects[i["id"]]) for i in content["images"]]
    files = [image["file_name"] for image in content["images"]]
    names = unique_names([file.replace("\\", "/") for file in files])
    return [Item(n, find_image(f), d) for n, f, d in zip(names, files, drawings)]


def convert(item: Item) -> Example:
    """Draws the label map."""
    height, width, objects = item.label
    canvas = Image.new("L", (width * _SUBPIXELS, height * _SUBPIXELS))
    crowds = np.zeros((height, width), bool)
    try:
        for label, segmentation, crowd in objects:
            if label is None:
                raise ValueError("unknown category id")
            if isinstance(segmentation, dict):
                inside = _decode_runs(segmentation, height, width)
                if crowd:
                    crowds |= inside
                else:
                    mask = Image.fromarray(inside).resize(canvas.size, Image.Resampling.NEAREST)
                    canvas.paste(label, mask=mask)
                continue
            for outline in segmentation:
                corners = [corner * _SUBPIXELS for corner in outline]
                ImageDraw.Draw(canvas).polygon(corners, fill=label)
    except (KeyError, TypeError, ValueError) as error:
        raise BadExample(
            item.image,
            f"its annotation cannot be drawn ({error})",
            "download the annotations again",
        ) from None
    center = slice(_SUBPIXELS // 2, None, _SUBPIXELS)
    label = np.array(np.asarray(canvas)[center, center])
    label[crowds & (label == 0)] = IGNORE_LABEL
    return Example(*read_image(item.image), label)


def _decode_runs(segmentation, height, width):
    """Bool [height, width] of alternating runs of pixels outside and inside, column by column."""
    if segmentation["size"] != [height, width]:
        raise ValueError(f"runs of size {segmentation['size']}")
    if isinstance(segmentation["counts"], str):
        raise ValueError("compressed runs: save them as lists, as pycocotools decodes them")
    runs = np.array(segmentation["counts"])
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return inside.reshape(width, height).T
