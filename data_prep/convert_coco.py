"""COCO 2017 as PASCAL VOC: train2017/, val2017/, annotations/instances_*2017.json.

Objects of the 20 VOC classes are drawn from their outlines, small ones over large ones; images
without any are left out. Where a crowd is outlined as a whole its pixels are ignored.
"""

import collections
import json
import os

import numpy as np
from PIL import Image, ImageDraw

from adl_tf.data.description import IGNORE_LABEL, default_colors
from data_prep import program
from data_prep.conversion import Conversion
from data_prep.convert_voc2012 import CLASSES
from data_prep.errors import BadExample, ConversionError
from data_prep.examples import Example, Item
from data_prep.images import read_image

_VOC_NAMES = {
    "airplane": "aeroplane",
    "couch": "sofa",
    "dining table": "diningtable",
    "motorcycle": "motorbike",
    "potted plant": "pottedplant",
    "tv": "tvmonitor",
}
_SUBPIXELS = 4  # Outlines are drawn larger and sampled at the centers of pixels.


def plan(input_dir: str) -> Conversion:
    """Reads the annotations of train and val.

    Raises:
      ConversionError: neither has annotations that can be read.
    """
    splits, faults = {}, []
    for split in ("train", "val"):
        path = os.path.join(input_dir, "annotations", f"instances_{split}2017.json")
        try:
            splits[split] = _list_split(path, os.path.join(input_dir, f"{split}2017"))
        except BadExample as fault:
            faults.append(fault)
    if not splits:
        raise ConversionError(str(faults[0]))
    return Conversion(
        name="coco",
        class_names=CLASSES,
        colors=default_colors(len(CLASSES)),
        source="COCO 2017 (Lin et al. 2014), instances of the VOC classes",
        splits=splits,
        convert=convert,
        faults=tuple(faults),
    )


def convert(item: Item) -> Example:
    """Draws the label map."""
    height, width, objects = item.label
    canvas = Image.new("L", (width * _SUBPIXELS, height * _SUBPIXELS))
    crowd = np.zeros((height, width), bool)
    try:
        for label, segmentation in objects:
            if label is None:
                raise ValueError("unknown category id")
            if isinstance(segmentation, dict):
                crowd |= _decode_runs(segmentation, height, width)
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
    label[crowd & (label == 0)] = IGNORE_LABEL
    return Example(*read_image(item.image), label)


def _list_split(path, images):
    try:
        with open(path, encoding="utf-8") as file:
            return _list_items(json.load(file), images)
    except FileNotFoundError:
        raise BadExample(path, "the annotations are missing", "unpack the archive there") from None
    except (KeyError, TypeError, ValueError) as error:
        reason = f"not the JSON of instance annotations ({type(error).__name__}: {error})"
        raise BadExample(path, reason, "download it again") from None


def _list_items(content, folder):
    images, annotations = content["images"], content["annotations"]
    names = {category["id"]: category["name"] for category in content["categories"]}
    labels = {}  # None for an id that has no name: its image is bad, whatever class was meant.
    for annotation in annotations:
        name = names.get(annotation["category_id"])
        name = _VOC_NAMES.get(name, name)
        if name is None or name in CLASSES:
            labels[annotation["category_id"]] = CLASSES.index(name) if name else None
    objects, shown = collections.defaultdict(list), set()
    for annotation in sorted(annotations, key=lambda a: -a["area"]):
        if annotation["category_id"] in labels:
            label = labels[annotation["category_id"]]
            objects[annotation["image_id"]].append((label, annotation["segmentation"]))
            if not annotation["iscrowd"]:
                shown.add(annotation["image_id"])
    items = []
    for image in images:
        if image["id"] in shown:
            file = image["file_name"]
            drawing = (image["height"], image["width"], objects[image["id"]])
            items.append(Item(os.path.splitext(file)[0], os.path.join(folder, file), drawing))
    return items


def _decode_runs(segmentation, height, width):
    """Bool [height, width] of alternating runs of pixels outside and inside, column by column."""
    if segmentation["size"] != [height, width]:
        raise ValueError(f"a crowd of size {segmentation['size']}")
    runs = np.array(segmentation["counts"])
    inside = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return inside.reshape(width, height).T


if __name__ == "__main__":
    program.main(plan)
