"""A plain folder: images/, masks/ and classes.txt.

A mask is named like its image and is an 8-bit PNG whose pixels are class ids, 255 for pixels to
ignore. Line i of classes.txt is the name of class i, optionally with a color: `road 128 64 128`.
The splits are the subfolders of images/ and masks/ (images/train, masks/train, ...); without
subfolders a seeded fraction of the images is set aside as val.
"""

import os
import random
import re

from absl import flags

from adl_tf.data.description import IGNORE_LABEL, default_colors
from data_prep import program
from data_prep.conversion import Conversion
from data_prep.errors import ConversionError
from data_prep.examples import Example, Item
from data_prep.images import read_image, read_label
from data_prep.listing import list_pairs

_IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".ppm")


def plan(input_dir: str, *, val_fraction: float = 0.2, seed: int = 0) -> Conversion:
    """Lists the pairs.

    Args:
      input_dir: the folder.
      val_fraction: share of the images set aside as val where there are no subfolders.
      seed: of that choice.

    Raises:
      ConversionError: a part of the folder is missing or empty, or a line of classes.txt is
        invalid.
    """
    names, colors = _read_classes(os.path.join(input_dir, "classes.txt"))
    images = os.path.join(input_dir, "images")
    subfolders = os.path.isdir(images) and sorted(os.scandir(images), key=lambda e: e.name)
    subfolders = [entry.name for entry in subfolders or () if entry.is_dir()]
    if subfolders:
        splits = {split: _list_pairs(input_dir, split) for split in subfolders}
    else:
        items = _list_pairs(input_dir, "")
        count = round(len(items) * val_fraction)
        val = set(random.Random(seed).sample(range(len(items)), count))
        splits = {
            "train": [item for i, item in enumerate(items) if i not in val],
            "val": [item for i, item in enumerate(items) if i in val],
        }
    return Conversion(
        name=os.path.basename(os.path.abspath(input_dir)),
        class_names=names,
        colors=colors,
        source="a folder of images and masks",
        splits=splits,
        convert=convert,
    )


def convert(item: Item) -> Example:
    """Stores both as they are."""
    return Example(*read_image(item.image), read_label(item.label))


def _list_pairs(input_dir, split):
    images = os.path.join(input_dir, "images", split)
    masks = os.path.join(input_dir, "masks", split)
    return list_pairs(images, masks, _IMAGES)


def _read_classes(path):
    if not os.path.exists(path):
        raise ConversionError(f"{path}: missing; write one class name per line.")
    with open(path, encoding="utf-8") as file:
        lines = [line.strip() for line in file if line.strip()]
    parts = [re.fullmatch(r"(.*?)(?:\s+(\d+)\s+(\d+)\s+(\d+))?", line).groups() for line in lines]
    if not 0 < len(lines) <= IGNORE_LABEL:
        raise ConversionError(f"{path}: {len(lines)} classes; give 1 to {IGNORE_LABEL}.")
    colors = [
        tuple(map(int, color)) if color[0] else default
        for (_, *color), default in zip(parts, default_colors(len(lines)))
    ]
    for line, color in zip(lines, colors):
        if max(color) > 255:
            raise ConversionError(f"{path}: {line!r}: a color has three values in 0..255.")
    return tuple(name for name, *_ in parts), tuple(colors)


if __name__ == "__main__":
    flags.DEFINE_float("val_fraction", 0.2, "Share of val if there are no subfolders.", 0, 1)
    flags.DEFINE_integer("seed", 0, "Random seed of the choice of val.")
    program.main(plan, options=("val_fraction", "seed"))
