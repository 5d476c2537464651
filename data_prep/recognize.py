"""Which converter reads a folder: told by the names that are in it."""

import os
from typing import Tuple

# The archives of known data sets, and what each leaves in a folder.
_KNOWN: Tuple[Tuple[str, Tuple[str, ...]], ...] = (
    ("cityscapes", ("leftImg8bit", "gtFine")),
    ("voc2012", (os.path.join("VOCdevkit", "VOC2012", "ImageSets", "Segmentation"),)),
    ("ade20k", ("ADEChallengeData2016",)),
    ("coco", (os.path.join("annotations", "instances_train2017.json"),)),
    ("camvid", ("train", "trainannot", "val", "valannot")),
)
FOLDER = "folder"


def recognize(input_dir: str) -> str:
    """The NAME of the converter, as in `python -m data_prep.convert_NAME`; "folder" for any folder
    that is no known archive."""
    for name, parts in _KNOWN:
        if all(os.path.exists(os.path.join(input_dir, part)) for part in parts):
            return name
    return FOLDER
