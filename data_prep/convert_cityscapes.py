"""Cityscapes: leftImg8bit/ and gtFine/, and gtCoarse/ for the extra training images.

Label ids become the 19 train ids here; maps of train ids made by other tools are used where
there are none of label ids. The labels of test are not public, so it has none.
"""

import glob
import os

from adl_tf.data.description import IGNORE_LABEL
from data_prep import program
from data_prep.conversion import Conversion
from data_prep.errors import ConversionError
from data_prep.examples import Example, Item
from data_prep.images import map_ids, read_image
from data_prep.mask_pixels import read_label

_CLASSES = {  # Name: label id in the files, color. The order is that of the train ids.
    "road": (7, (128, 64, 128)),
    "sidewalk": (8, (244, 35, 232)),
    "building": (11, (70, 70, 70)),
    "wall": (12, (102, 102, 156)),
    "fence": (13, (190, 153, 153)),
    "pole": (17, (153, 153, 153)),
    "traffic light": (19, (250, 170, 30)),
    "traffic sign": (20, (220, 220, 0)),
    "vegetation": (21, (107, 142, 35)),
    "terrain": (22, (152, 251, 152)),
    "sky": (23, (70, 130, 180)),
    "person": (24, (220, 20, 60)),
    "rider": (25, (255, 0, 0)),
    "car": (26, (0, 0, 142)),
    "truck": (27, (0, 0, 70)),
    "bus": (28, (0, 60, 100)),
    "train": (31, (0, 80, 100)),
    "motorcycle": (32, (0, 0, 230)),
    "bicycle": (33, (119, 11, 32)),
}
_LABEL_IDS = {
    **{label: IGNORE_LABEL for label in range(34)},
    **{label: train_id for train_id, (label, _) in enumerate(_CLASSES.values())},
}
_TRAIN_IDS = {**{label: label for label in range(len(_CLASSES))}, 255: IGNORE_LABEL}
_IMAGE_SUFFIX = "_leftImg8bit.png"
_LABELS = {"train": "gtFine", "val": "gtFine", "test": None, "train_extra": "gtCoarse"}


def plan(input_dir: str) -> Conversion:
    """Lists train and val, and test and train_extra where their images are.

    Args:
      input_dir: the directory that the archives were unpacked into.

    Raises:
      ConversionError: train or val is missing.
    """
    splits = {}
    for split, labels in _LABELS.items():
        images = os.path.join(input_dir, "leftImg8bit", split)
        if split in ("train", "val") or os.path.isdir(images):
            splits[split] = _list_split(input_dir, images, labels and f"{labels}/{split}")
    return Conversion(
        name="cityscapes",
        class_names=tuple(_CLASSES),
        colors=tuple(color for _, color in _CLASSES.values()),
        source="Cityscapes (Cordts et al. 2016), 19 classes",
        splits=splits,
        convert=convert,
        unlabelled=("test",),
        official_ids=tuple(label for label, _ in _CLASSES.values()),
        input_dir=input_dir,
    )


def convert(item: Item) -> Example:
    """Maps the ids."""
    label = None
    if item.label:
        ids = _TRAIN_IDS if item.label.endswith("TrainIds.png") else _LABEL_IDS
        label = map_ids(read_label(item.label), ids, item.label)
    return Example(*read_image(item.image), label)


def _list_split(input_dir, images, labels):
    files = sorted(glob.glob(os.path.join(glob.escape(images), "*", "*" + _IMAGE_SUFFIX)))
    if not files:
        raise ConversionError(
            f"{images}: no CITY/*{_IMAGE_SUFFIX} there; is the archive unpacked there?"
        )
    items = []
    for file in files:
        city, name = os.path.split(file[: -len(_IMAGE_SUFFIX)])
        label = None
        if labels:
            kind = os.path.dirname(labels)
            stem = os.path.join(input_dir, labels, os.path.basename(city), f"{name}_{kind}_label")
            train_ids_only = os.path.exists(f"{stem}TrainIds.png") and not os.path.exists(
                f"{stem}Ids.png"
            )
            label = f"{stem}TrainIds.png" if train_ids_only else f"{stem}Ids.png"
        items.append(Item(name, file, label))
    return items


if __name__ == "__main__":
    program.main(plan)
