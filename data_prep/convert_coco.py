"""COCO 2017 as PASCAL VOC: train2017/, val2017/, annotations/instances_*2017.json.

Objects of the 20 VOC classes are drawn from their outlines, small ones over large ones; images
without any are left out. Where a crowd is outlined as a whole its pixels are ignored.
"""

import functools
import json
import os

from adl_tf.data.description import default_colors
from data_prep import program
from data_prep.coco_json import convert, list_items
from data_prep.conversion import Conversion
from data_prep.convert_voc2012 import CLASSES
from data_prep.errors import BadExample, ConversionError

_VOC_NAMES = {
    "airplane": "aeroplane",
    "couch": "sofa",
    "dining table": "diningtable",
    "motorcycle": "motorbike",
    "potted plant": "pottedplant",
    "tv": "tvmonitor",
}


def plan(input_dir: str) -> Conversion:
    """Reads the annotations of train and val.

    Raises:
      ConversionError: neither has annotations that can be read.
    """
    splits, faults, notes = {}, [], []
    for split in ("train", "val"):
        path = os.path.join(input_dir, "annotations", f"instances_{split}2017.json")
        try:
            items, orphans, lines = _list_split(path, os.path.join(input_dir, f"{split}2017"))
        except BadExample as fault:
            faults.append(fault)
            continue
        splits[split] = items
        faults += orphans
        notes += lines
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
        notes=tuple(notes),
        input_dir=input_dir,
    )


def _list_split(path, images):
    try:
        with open(path, encoding="utf-8") as file:
            return _list_items(path, json.load(file), images)
    except FileNotFoundError:
        raise BadExample(path, "the annotations are missing", "unpack the archive there") from None
    except (KeyError, TypeError, ValueError) as error:
        reason = f"not the JSON of instance annotations ({type(error).__name__}: {error})"
        raise BadExample(path, reason, "download it again") from None


def _list_items(path, content, folder):
    images, annotations = content["images"], content["annotations"]
    names = {category["id"]: category["name"] for category in content["categories"]}
    names = {key: _VOC_NAMES.get(name, name) for key, name in names.items()}
    labels = {str(key): CLASSES.index(name) for key, name in names.items() if name in CLASSES}
    shown = set()  # Images with an object of these classes, or of an unknown one.
    for annotation in annotations:
        category = annotation["category_id"]
        if (str(category) in labels or category not in names) and not annotation["iscrowd"]:
            shown.add(annotation["image_id"])
    find_image = functools.partial(os.path.join, folder)
    items, faults, notes = list_items(path, content, find_image, labels)
    kept = [item for item, image in zip(items, images) if image["id"] in shown]
    return kept, faults, notes


if __name__ == "__main__":
    program.main(plan)
