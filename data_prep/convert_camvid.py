"""CamVid in the 11-class arrangement: images in SPLIT/, label maps in SPLITannot/."""

import os

from adl_tf.data.description import IGNORE_LABEL
from data_prep import program
from data_prep.conversion import Conversion
from data_prep.examples import Example, Item
from data_prep.images import map_ids, read_image, read_label
from data_prep.listing import list_pairs

_CLASSES = {
    "sky": (128, 128, 128),
    "building": (128, 0, 0),
    "pole": (192, 192, 128),
    "road": (128, 64, 128),
    "sidewalk": (60, 40, 222),
    "tree": (128, 128, 0),
    "sign": (192, 128, 128),
    "fence": (64, 64, 128),
    "car": (64, 0, 128),
    "pedestrian": (64, 64, 0),
    "bicyclist": (0, 128, 192),
}
_IDS = {**{label: label for label in range(11)}, 11: IGNORE_LABEL}


def plan(input_dir: str) -> Conversion:
    """Lists train, val and, where there is one, test.

    Raises:
      ConversionError: a directory is missing or empty.
    """
    splits = {}
    for split in ("train", "val", "test"):
        images, labels = os.path.join(input_dir, split), os.path.join(input_dir, split + "annot")
        if split == "test" and not os.path.isdir(images):
            continue
        splits[split] = list_pairs(images, labels, (".png", ".jpg"))
    return Conversion(
        name="camvid",
        class_names=tuple(_CLASSES),
        colors=tuple(_CLASSES.values()),
        source="CamVid (Brostow, Fauqueur, Cipolla 2009), 11 classes",
        splits=splits,
        convert=convert,
    )


def convert(item: Item) -> Example:
    """Maps the void class to the ignore label."""
    label = map_ids(read_label(item.label), _IDS, item.label)
    return Example(*read_image(item.image), label)


if __name__ == "__main__":
    program.main(plan)
