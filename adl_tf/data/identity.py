"""The identity of data: what a run keeps of its images, labels and classes to know them again."""

import dataclasses
import os
from typing import Any, Dict, List, Optional, Sequence, Tuple

import pydantic

from adl_tf.data.description import DESCRIPTION_FILE
from adl_tf.data.reader import RecordReader
from adl_tf.system.files import reason_of


@dataclasses.dataclass(frozen=True)
class SplitIdentity:
    """The records of a split.

    Attributes:
      examples: how many there are.
      checksum: checksum of images, labels, sizes and names in their order, see `Records.checksum`.
    """

    examples: int
    checksum: str


@dataclasses.dataclass(frozen=True)
class DataIdentity:
    """Identity of the data of a run, wherever they are and however they are sharded.

    Attributes:
      class_names: in the order of the labels.
      splits: those that the run reads, by name.
      validation_images: how many are scored; None where nothing is.
    """

    class_names: Tuple[str, ...]
    splits: Dict[str, SplitIdentity]
    validation_images: Optional[int] = None

    def to_dict(self) -> Dict[str, Any]:
        """The fields as JSON holds them."""
        return {**dataclasses.asdict(self), "class_names": list(self.class_names)}


_identity = pydantic.TypeAdapter(DataIdentity)


def identify(
    readers: Sequence[RecordReader], validation_images: Optional[int] = None
) -> DataIdentity:
    """The identity of splits of one data set, which takes no time: readers know the checksums.

    Example:
      >>> import tempfile
      >>> from data_prep import convert_synthetic
      >>> folder = tempfile.mkdtemp()
      >>> _ = convert_synthetic.build(folder, num_train=2, num_val=1, height=32, width=48)
      >>> identity = identify([RecordReader(folder, "train")])
      >>> identity.class_names[:2], identity.splits["train"].examples
      (('sky', 'building'), 2)
    """
    splits = {r.split: SplitIdentity(r.num_examples, r.checksum) for r in readers}
    return DataIdentity(tuple(readers[0].description.class_names), splits, validation_images)


def identify_again(dataset_dir: str, kept: DataIdentity) -> DataIdentity:
    """The identity that the data in a directory have now.

    Raises:
      FileNotFoundError, ValueError: a split is no longer there, see `RecordReader`.
    """
    described = os.path.exists(os.path.join(dataset_dir, DESCRIPTION_FILE))
    num_classes = None if described else len(kept.class_names)
    readers = [RecordReader(dataset_dir, split, num_classes) for split in kept.splits]
    return identify(readers, kept.validation_images)


def parse_identity(content: Any) -> DataIdentity:
    """Undoes `DataIdentity.to_dict`.

    Raises:
      ValueError: the content is something else.
    """
    try:
        return _identity.validate_python(content)
    except ValueError as error:
        raise ValueError(f"no identity of data ({reason_of(error)})") from error


def describe_changes(kept: DataIdentity, found: DataIdentity) -> str:
    """Differences of data from a kept identity, in words; empty if there are none.

    Example:
      >>> kept = DataIdentity(("sky", "road"), {"train": SplitIdentity(9, "a")})
      >>> describe_changes(kept, DataIdentity(("road", "sky"), {"train": SplitIdentity(9, "b")}))
      "class 0 'sky' -> 'road'; class 1 'road' -> 'sky'; other images or masks in train"
    """
    changes = [*changed_classes(kept.class_names, found.class_names)]
    before, now = kept.splits, found.splits
    if set(before) != set(now):
        changes.append(f"splits {', '.join(sorted(before))} -> {', '.join(sorted(now))}")
    for name in sorted(set(before) & set(now)):
        if before[name].examples != now[name].examples:
            changes.append(f"{name} {before[name].examples} -> {now[name].examples} examples")
        elif before[name] != now[name]:
            changes.append(f"other images or masks in {name}")
    if kept.validation_images != found.validation_images:
        changes.append(f"{kept.validation_images} -> {found.validation_images} images to score")
    return "; ".join(changes)


def changed_classes(kept: Sequence[str], found: Sequence[str], most: int = 3) -> List[str]:
    """The classes that have another name now, the first few, in words."""
    if len(kept) != len(found):
        return [f"{len(kept)} -> {len(found)} classes"]
    pairs = enumerate(zip(kept, found))
    changes = [f"class {label} {old!r} -> {new!r}" for label, (old, new) in pairs if old != new]
    rest = [f"{len(changes) - most} more"] if len(changes) > most else []
    return [*changes[:most], *rest]
