"""CamVid in the 11-class arrangement: images in SPLIT/, label maps in SPLITannot/.

The usual val split is a short clip out of a sequence of the train split. With --val_sequence one
whole sequence of the train split is scored instead, and nothing else of it is trained on. With
--sequence_splits every sequence that is left for training is a split of its own as well.
"""

import os
from typing import Optional, Tuple

from absl import flags

from adl_tf.data.description import IGNORE_LABEL
from data_prep import program
from data_prep.conversion import Conversion
from data_prep.errors import ConversionError
from data_prep.examples import Example, Item
from data_prep.images import map_ids, read_image
from data_prep.listing import list_pairs
from data_prep.mask_pixels import read_label

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


def plan(
    input_dir: str,
    *,
    val_sequence: Optional[str] = None,
    sequence_splits: bool = False,
) -> Conversion:
    """Lists train, val and, where there is one, test.

    Args:
      input_dir: the directory that the archive was unpacked into.
      val_sequence: sequence of the train split, such as "0006R0", that becomes the val split; the
        usual val split is left out.
      sequence_splits: also a split of each sequence of the train split, under its name.

    Raises:
      ConversionError: a directory is missing or empty, or there is no such sequence.
    """
    splits = {}
    for split in ("train", "val", "test"):
        images, labels = os.path.join(input_dir, split), os.path.join(input_dir, split + "annot")
        if split == "test" and not os.path.isdir(images):
            continue
        splits[split] = list_pairs(images, labels, (".png", ".jpg"))
    if val_sequence:
        splits = {**splits, **_split_by_sequence(splits["train"], val_sequence)}
    if sequence_splits:
        for item in splits["train"]:
            splits.setdefault(_sequence(item), []).append(item)
    return Conversion(
        name="camvid",
        class_names=tuple(_CLASSES),
        colors=tuple(_CLASSES.values()),
        source="CamVid (Brostow, Fauqueur, Cipolla 2009), 11 classes"
        + (f", val is sequence {val_sequence}" if val_sequence else ""),
        splits=splits,
        convert=convert,
        input_dir=input_dir,
    )


def _sequence(item: Item) -> str:
    return item.name.split("_")[0]  # Names are SEQUENCE_FRAME.


def _split_by_sequence(items, val_sequence):
    sequences = {item: _sequence(item) for item in items}
    found = sorted(set(sequences.values()))
    if val_sequence not in found or len(found) == 1:
        raise ConversionError(
            f"val_sequence {val_sequence!r}: the train split has the sequences "
            f"{', '.join(found)}; choose one of at least two."
        )
    return {
        "train": [item for item in items if sequences[item] != val_sequence],
        "val": [item for item in items if sequences[item] == val_sequence],
    }


def convert(item: Item) -> Example:
    """Maps the void class to the ignore label."""
    label = map_ids(read_label(item.label), _IDS, item.label)
    return Example(*read_image(item.image), label)


def define_flags() -> Tuple[str, ...]:
    """Defines the flags that `plan` takes; returns their names."""
    flags.DEFINE_string(
        "val_sequence", None, "Sequence of the train split to score instead of the val split."
    )
    flags.DEFINE_bool("sequence_splits", False, "Also write each sequence of train as a split.")
    return "val_sequence", "sequence_splits"


if __name__ == "__main__":
    program.main(plan, options=define_flags())
