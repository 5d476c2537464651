"""A plain folder: images/, masks/ and classes.txt.

A mask is named like its image and is an 8-bit PNG whose pixels are class ids, 255 for pixels to
ignore; with --mask_values=0,255 the pixels of the first class are 0 and those of the second 255.
Line i of classes.txt is the name of class i, optionally with a color: `road 128 64 128`.
The splits are the subfolders of images/ and masks/ (images/train, masks/train, ...); without
subfolders a seeded fraction of the images is set aside as val.
"""

import functools
import os
import random
import re
from typing import Sequence, Tuple

from absl import flags

from adl_tf.data.description import IGNORE_LABEL, default_colors
from data_prep import program
from data_prep.conversion import Conversion
from data_prep.errors import ConversionError
from data_prep.examples import Example, Item
from data_prep.images import IMAGE_SUFFIXES, map_ids, read_image, read_label
from data_prep.listing import list_pairs


def plan(
    input_dir: str,
    *,
    val_fraction: float = 0.2,
    seed: int = 0,
    mask_values: Sequence[int] = (),
) -> Conversion:
    """Lists the pairs.

    Args:
      input_dir: the folder.
      val_fraction: share of the images set aside as val where there are no subfolders.
      seed: of that choice.
      mask_values: of the pixels of each class, in their order; empty for the class ids. Other
        pixels must be the ignore label.

    Raises:
      ConversionError: a part of the folder is missing or empty, a line of classes.txt is
        invalid, or there is not one mask value for each class.
    """
    names, colors = _read_classes(os.path.join(input_dir, "classes.txt"))
    if mask_values and not (len(set(mask_values)) == len(mask_values) == len(names)):
        raise ConversionError(
            f"mask_values {list(mask_values)}: give one value for each of the {len(names)} classes."
        )
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
        convert=(
            functools.partial(convert, mask_values=tuple(mask_values)) if mask_values else convert
        ),
    )


def convert(item: Item, mask_values: Tuple[int, ...] = ()) -> Example:
    """Stores the image as it is, and the mask as class ids."""
    label = read_label(item.label)
    if mask_values:
        ids = {IGNORE_LABEL: IGNORE_LABEL, **{value: i for i, value in enumerate(mask_values)}}
        label = map_ids(label, ids, item.label)
    return Example(*read_image(item.image), label)


def _list_pairs(input_dir, split):
    images = os.path.join(input_dir, "images", split)
    masks = os.path.join(input_dir, "masks", split)
    return list_pairs(images, masks, IMAGE_SUFFIXES)


def _read_classes(path):
    if not os.path.exists(path):
        raise ConversionError(f"{path}: missing; write one class name per line.")
    try:
        with open(path, encoding="utf-8-sig") as file:  # Some editors put a mark at the start.
            lines = [line.strip() for line in file if line.strip()]
    except UnicodeDecodeError as error:
        raise ConversionError(f"{path}: not UTF-8 ({error.reason}); save it as that.") from error
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


def _plan_flags(input_dir, mask_values, **options):
    try:
        values = [int(value) for value in mask_values]
    except ValueError:
        raise ConversionError(
            f"--mask_values={','.join(mask_values)}: give whole numbers such as 0,255."
        ) from None
    return plan(input_dir, mask_values=values, **options)


if __name__ == "__main__":
    flags.DEFINE_float("val_fraction", 0.2, "Share of val if there are no subfolders.", 0, 1)
    flags.DEFINE_integer("seed", 0, "Random seed of the choice of val.")
    flags.DEFINE_list("mask_values", [], "Pixel value of each class in the masks [0,1,2,...].")
    program.main(_plan_flags, options=("val_fraction", "seed", "mask_values"))
