"""ADE20K scene parsing: ADEChallengeData2016/ with images/, annotations/, objectInfo150.txt.

In the files 0 is "other" and 1..150 are the classes; here 0..149, and other is ignored.
"""

import os

from adl_tf.data.description import IGNORE_LABEL, default_colors
from data_prep import program
from data_prep.conversion import Conversion
from data_prep.errors import ConversionError
from data_prep.examples import Example, Item
from data_prep.images import map_ids, read_image
from data_prep.listing import list_pairs
from data_prep.mask_pixels import read_label

_NUM_CLASSES = 150
_IDS = {0: IGNORE_LABEL, **{label: label - 1 for label in range(1, _NUM_CLASSES + 1)}}


def plan(input_dir: str) -> Conversion:
    """Lists train and val.

    Args:
      input_dir: the directory that the archive was unpacked into.

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
        source="ADE20K scene parsing challenge 2016 (Zhou et al.)",
        splits=splits,
        convert=convert,
        official_ids=tuple(range(1, _NUM_CLASSES + 1)),
        input_dir=input_dir,
    )


def convert(item: Item) -> Example:
    """Shifts the ids."""
    label = map_ids(read_label(item.label), _IDS, item.label)
    return Example(*read_image(item.image), label)


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


if __name__ == "__main__":
    program.main(plan)
