"""COCO 2017 as PASCAL VOC: train2017/, val2017/, annotations/instances_*2017.json.

Objects of the 20 VOC classes are drawn from their outlines, small ones over large ones; images
without any are left out. Where a crowd is outlined as a whole its pixels are ignored.
"""

import collections
import json
import os

import numpy as np
from PIL import Image, ImageDraw

from adl_tf.data.description import default_colors
from data_prep import core
from data_prep.convert_voc2012 import CLASSES
from data_prep.examples import BadExample, Example, Item, read_image

_VOC_NAMES = {
    "airplane": "aeroplane",
    "couch": "sofa",
    "dining table": "diningtable",
    "motorcycle": "motorbike",
    "potted plant": "pottedplant",
    "tv": "tvmonitor",
}
_SUBPIXELS = 4  # Outlines are drawn larger and sampled at the centers of pixels.


def plan(input_dir: str) -> core.Conversion:
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
        raise core.ConversionError(str(faults[0]))
    return core.Conversion(
        name="coco",
        class_names=tuple(CLASSES),
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
            item.image, f"its annotation cannot be drawn ({error})", "fetch the annotations again"
        ) from None
    label = np.array(canvas)[_SUBPIXELS // 2 :: _SUBPIXELS, _SUBPIXELS // 2 :: _SUBPIXELS]
    return Example(*read_image(item.image), np.where(crowd & (label == 0), 255, label))
