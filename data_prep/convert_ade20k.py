"""ADE20K scene parsing: ADEChallengeData2016/ with images/, annotations/, objectInfo150.txt.

In the files 0 is "other" and 1..150 are the classes; here 0..149, and other is ignored.
"""

import functools
import os
from typing import Tuple

from absl import flags

from adl_tf.data.description import IGNORE_LABEL, default_colors
from data_prep import program
from data_prep.conversion import Conversion
from data_prep.errors import ConversionError
from data_prep.examples import Example, Item, shrink
from data_prep.images import map_ids, read_image
from data_prep.listing import list_pairs
from data_prep.masks import read_label

_NUM_CLASSES = 150
_IDS = {0: IGNORE_LABEL, **{label: label - 1 for label in range(1, _NUM_CLASSES + 1)}}


def plan(input_dir: str, *, short_side: int = 0) -> Conversion:
    """Lists train and val.

    Args:
      input_dir: the directory that the archive was unpacked into.
      short_side: images whose short side is longer are shrunk to it; 0: as they are.

    Raises:
      ConversionError: a part is missing, or the list of classes is invalid.
    """
    root = os.path.join(input_dir, "ADEChallengeData2016")

    def pairs(folder):
        images, labels = (os.path.join(root, kind, folder) for kind in ("images", "annotations"))
        return list_pairs(images, labels, (".jpg",))

    splits = {"train": pairs("training"), "val": pairs("validation")}
    return Conversion(
        name="ade20k",
        class_names=_read_names(os.path.join(root, "objectInfo150.txt")),
        colors=default_colors(_NUM_CLASSES + 1)[1:],
        source="ADE20K scene parsing challenge 2016 (Zhou et al.)"
        + (f", short side at most {short_side}" if short_side else ""),
        splits=splits,
        convert=functools.partial(convert, short_side=short_side),
        official_ids=tuple(range(1, _NUM_CLASSES + 1)),
        input_dir=input_dir,
    )


def convert(item: Item, *, short_side: int) -> Example:
    """Shifts the ids, and shrinks if requested."""
    label = map_ids(read_label(item.label), _IDS, item.label)
    content, image_format, size = read_image(item.image)
    if short_side and min(size) > short_side:
        return shrink(item.image, label, short_side / min(size))
    return Example(content, image_format, size, label)


def _read_names(path):
    """The first synonym of each class; columns are Idx, Ratio, Train, Val, Stuff, Name."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            rows = [line.rstrip("\n").split("\t") for line in file if line.strip()][1:]
    except FileNotFoundError:
        raise ConversionError(f"{path}: missing; is the archive unpacked there?") from None
    if len(rows) != _NUM_CLASSES or any(len(row) < 2 for row in rows):
        raise ConversionError(
            f"{path}: not the tab-separated table of {_NUM_CLASSES} classes; download it again."
        )
    return tuple(row[-1].split(",")[0].strip() for row in rows)


def define_flags() -> Tuple[str, ...]:
    """Defines the flags that `plan` takes; returns their names."""
    flags.DEFINE_integer("short_side", 0, "Shrink images whose short side is longer; 0: none.", 0)
    return ("short_side",)


if __name__ == "__main__":
    program.main(plan, options=define_flags())
