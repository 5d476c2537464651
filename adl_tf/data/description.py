"""The description of a converted data set: `dataset.json` beside the shards."""

import dataclasses
import functools
import json
import os
from typing import Dict, Optional, Tuple

from adl_tf.system.files import reason_of, write_json

DESCRIPTION_FILE = "dataset.json"
IGNORE_LABEL = 255

Color = Tuple[int, int, int]
Size = Tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Shard:
    """One TFRecord file.

    Attributes:
      file: name inside the data set's directory.
      examples: number of records.
      sha256: checksum of the file in hex; empty when unknown.
      classes: the label ids in each record, as "0 2 7"; empty when unknown.
    """

    file: str
    examples: int
    sha256: str = ""
    classes: Tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Split:
    """One split and its statistics, which are None for records written by others.

    Attributes:
      shards: the files, in order.
      labelled: whether its records carry label maps.
      min_size: smallest (height, width), each over all images.
      max_size: largest (height, width), each over all images.
      class_pixels: number of label pixels per class.
      ignored_pixels: number of label pixels with the ignore label.
    """

    shards: Tuple[Shard, ...]
    labelled: bool = True
    min_size: Optional[Size] = None
    max_size: Optional[Size] = None
    class_pixels: Optional[Tuple[int, ...]] = None
    ignored_pixels: Optional[int] = None

    @property
    def examples(self) -> int:
        """Number of records in all shards."""
        return sum(shard.examples for shard in self.shards)

    @property
    def class_frequencies(self) -> Optional[Tuple[float, ...]]:
        """Share of each class in the labelled pixels, summing to 1; None when unknown."""
        if self.class_pixels is None:
            return None
        total = max(1, sum(self.class_pixels))
        return tuple(pixels / total for pixels in self.class_pixels)


@dataclasses.dataclass(frozen=True)
class DatasetDescription:
    """A data set: its classes, how they are drawn, and its splits.

    Attributes:
      name: for pictures and logs.
      class_names: one per class, in the order of the label ids.
      colors: (red, green, blue) in 0..255 per class.
      splits: by name.
      ignore_label: the label id that is neither trained on nor scored.
      source: where the images come from.
      official_ids: the id of each class in the files that the data set's own evaluation reads
        and writes; empty where these are the label ids.

    Raises:
      ValueError: not one color per class, an ignore label other than the schema's, or official ids
        that are not one different 8-bit number per class.
    """

    name: str
    class_names: Tuple[str, ...]
    colors: Tuple[Color, ...]
    splits: Dict[str, Split]
    ignore_label: int = IGNORE_LABEL
    source: str = ""
    official_ids: Tuple[int, ...] = ()

    def __post_init__(self):
        if not self.class_names or len(self.colors) != len(self.class_names):
            raise ValueError(
                f"data set {self.name!r}: {len(self.class_names)} classes but "
                f"{len(self.colors)} colors; give one color per class."
            )
        if len(self.class_names) > IGNORE_LABEL or self.ignore_label != IGNORE_LABEL:
            raise ValueError(
                f"data set {self.name!r}: label maps hold 8 bits, so there can be at most "
                f"{IGNORE_LABEL} classes, and the ignore label is always {IGNORE_LABEL}."
            )
        if self.official_ids and (
            len(set(self.official_ids)) != len(self.official_ids)
            or len(self.official_ids) != len(self.class_names)
            or not set(self.official_ids) <= set(range(256))
        ):
            raise ValueError(
                f"data set {self.name!r}: official_ids {list(self.official_ids)}; give one "
                f"different id in 0..255 for each of the {len(self.class_names)} classes, or none."
            )

    @property
    def num_classes(self) -> int:
        """Number of classes, without the ignore label."""
        return len(self.class_names)


@functools.cache
def _types():
    """Validator of the types of all fields."""
    import pydantic  # Here, since programs import this module before they check their flags.

    return pydantic.TypeAdapter(DatasetDescription)


def default_colors(num_classes: int) -> Tuple[Color, ...]:
    """Distinct colors: the bits of the class id distributed over red, green and blue.

    This is PASCAL VOC's color map.
    """

    def channel(label, offset):
        return sum((label >> (3 * bit + offset) & 1) << (7 - bit) for bit in range(3))

    return tuple(tuple(channel(label, c) for c in range(3)) for label in range(num_classes))


def read_dataset_description(dataset_dir) -> DatasetDescription:
    """Reads `dataset.json`.

    Raises:
      FileNotFoundError: no such directory, or no `dataset.json` in it.
      ValueError: the file is not a data set description.
    """
    dataset_dir = os.fspath(dataset_dir)
    path = os.path.join(dataset_dir, DESCRIPTION_FILE)
    if not os.path.isdir(dataset_dir):
        raise FileNotFoundError(
            f"{dataset_dir}: no such data set directory; create one with a converter, "
            "python -m data_prep.convert_NAME."
        )
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"{dataset_dir}: no {DESCRIPTION_FILE} there; run the converter again, or give "
            "num_classes to read records written by others."
        )
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
        return _types().validate_json(json.dumps(content), strict=True)
    except ValueError as error:
        raise ValueError(
            f"{path}: not a data set description ({reason_of(error)}); run the converter again."
        ) from error


def write_dataset_description(description: DatasetDescription, dataset_dir) -> None:
    """Writes `dataset.json` atomically."""
    content = dataclasses.asdict(description)
    for name, split in description.splits.items():
        content["splits"][name]["examples"] = split.examples
        content["splits"][name]["class_frequencies"] = split.class_frequencies
    write_json(content, os.path.join(os.fspath(dataset_dir), DESCRIPTION_FILE))
