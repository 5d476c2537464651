"""CamVid in the 11-class arrangement: images in SPLIT/, label maps in SPLITannot/."""

import os

from data_prep import core
from data_prep.examples import Example, Item, map_ids, read_image, read_label

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
_IDS = {**{label: label for label in range(11)}, 11: core.IGNORE_LABEL}


def plan(input_dir: str) -> core.Conversion:
    """Lists train, val and, where there is one, test.

    Raises:
      ConversionError: a directory is missing or empty.
    """
    splits = {}
    for split in ("train", "val", "test"):
        images, labels = os.path.join(input_dir, split), os.path.join(input_dir, split + "annot")
        if split == "test" and not os.path.isdir(images):
            continue
        splits[split] = []
        for file in core.list_files(images, (".png", ".jpg")):
            name = os.path.splitext(file)[0]
            label = os.path.join(labels, name + ".png")
            splits[split].append(Item(name, os.path.join(images, file), label))
    return core.Conversion(
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
    core.main(plan)
