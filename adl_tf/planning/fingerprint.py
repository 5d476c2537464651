"""Statistics of a data set, as far as a plan depends on them."""

import collections
import dataclasses
import hashlib
import io
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np
import tensorflow as tf
from PIL import Image

from adl_tf.data.reader import RecordReader
from data_prep.describe import find_oddities

TRAIN, VAL = "train", "val"


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """A data set in numbers.

    Attributes:
      name: name of the data set.
      class_names: one per class.
      examples: by split.
      sizes: by split, (H, W) in pixels of the smallest, the median and the largest image, each side
        by itself.
      modes: by split, how many images are "JPEG, RGB", "PNG, L", ...
      class_shares: by split, share of the labelled pixels of each class.
      ignored_shares: by split, share of all pixels.
      duplicates: names of images that are the same, byte for byte, in two splits.
      oddities: what the data set can hardly be meant to be, a line each.
    """

    name: str
    class_names: Tuple[str, ...]
    examples: Dict[str, int]
    sizes: Dict[str, Sequence[Sequence[int]]]
    modes: Dict[str, Dict[str, int]]
    class_shares: Dict[str, Sequence[float]]
    ignored_shares: Dict[str, float]
    duplicates: Sequence[Sequence[str]]
    oddities: Sequence[str]

    @property
    def median_size(self) -> Tuple[int, int]:
        """(H, W) in pixels of the median training image."""
        return tuple(self.sizes[TRAIN][1])

    @property
    def imbalance(self) -> float:
        """Pixels of the most frequent class of train over those of the rarest that it has."""
        present = [share for share in self.class_shares[TRAIN] if share]
        return max(present) / min(present) if present else 1.0

    @property
    def warnings(self) -> List[str]:
        """Things to check before hours are spent, a line each."""
        lines = list(self.oddities)
        if self.duplicates:
            pair = " and ".join(self.duplicates[0])
            lines.append(f"{len(self.duplicates)} images are in two splits, such as {pair}.")
        return lines

    def to_dict(self) -> Dict[str, Any]:
        """The fields as JSON holds them."""
        return dataclasses.asdict(self)

    def table(self) -> List[str]:
        """Lines for a terminal."""
        lines = [f"{self.name}: {len(self.class_names)} classes"]
        for split, count in self.examples.items():
            small, median, large = ("x".join(map(str, size)) for size in self.sizes[split])
            lines.append(
                f"  {split}: {count} images of {small} to {large} (median {median}; "
                f"{'; '.join(self.modes[split])}), "
                f"{self.ignored_shares[split]:.1%} of the pixels ignored"
            )
        width = max(map(len, self.class_names))
        lines.append(f"  {'':{width}}  " + "  ".join(f"{split:>7}" for split in self.examples))
        for index, name in enumerate(self.class_names):
            shares = (f"{self.class_shares[split][index]:7.2%}" for split in self.examples)
            lines.append(f"  {name:{width}}  " + "  ".join(shares))
        return [*lines, *(f"warning: {line}" for line in self.warnings)]


def take_fingerprint(dataset_dir: str) -> Fingerprint:
    """Reads all records of train and val once, without decoding images.

    Raises:
      FileNotFoundError, ValueError: see `RecordReader`; a data set without train or val, without
        labels, or with pixels of fewer than two classes.
    """
    readers = {split: RecordReader(dataset_dir, split) for split in (TRAIN, VAL)}
    description = readers[TRAIN].description
    for split, reader in readers.items():
        if not reader.labelled or description.splits[split].class_pixels is None:
            raise ValueError(f"{dataset_dir}: split {split!r} has no label maps to learn from.")
    pixels = {
        split: np.array(description.splits[split].class_pixels, np.float64) for split in readers
    }
    if np.count_nonzero(sum(pixels.values())) < 2:
        raise ValueError(
            f"{dataset_dir}: the masks show {np.count_nonzero(sum(pixels.values()))} of the "
            f"{description.num_classes} classes; segmentation needs two, each a line of the class "
            "file. " + " ".join(find_oddities(description))
        )
    ignored = {split: description.splits[split].ignored_pixels for split in readers}
    seen: Dict[bytes, str] = {}
    sizes, modes, duplicates = {}, {}, []
    for split, reader in readers.items():
        sizes[split], modes[split] = [], collections.Counter()
        for name, image, size in _walk(reader):
            sizes[split].append(size)
            with Image.open(io.BytesIO(image)) as opened:  # Reads no pixels.
                modes[split][f"{opened.format}, {opened.mode}"] += 1
            digest = hashlib.sha256(image).digest()
            other = seen.setdefault(digest, f"{split}/{name}")
            if other.partition("/")[0] != split:
                duplicates.append((other, f"{split}/{name}"))
    return Fingerprint(
        name=description.name,
        class_names=description.class_names,
        examples={split: len(values) for split, values in sizes.items()},
        sizes={split: _spread(values) for split, values in sizes.items()},
        modes={split: dict(counts.most_common()) for split, counts in modes.items()},
        class_shares={
            split: (values / max(1, values.sum())).tolist() for split, values in pixels.items()
        },
        ignored_shares={
            split: ignored[split] / max(1.0, ignored[split] + pixels[split].sum())
            for split in readers
        },
        duplicates=duplicates,
        oddities=find_oddities(description),
    )


def _walk(reader: RecordReader):
    """(name, bytes, (H, W)) of each image."""
    for record in range(reader.num_examples):
        fault = reader.find_fault(record)
        if fault:
            raise ValueError(f"{reader.record_name(record)}: {fault}; convert the data again.")
        example = tf.train.Example.FromString(reader.read_serialized(record))
        features = collections.defaultdict(tf.train.Feature, example.features.feature)

        def side(name, features=features) -> Optional[int]:
            return next(iter(features[f"image/{name}"].int64_list.value), None)

        yield (
            features["image/filename"].bytes_list.value[0].decode(),
            features["image/encoded"].bytes_list.value[0],
            (side("height"), side("width")),
        )


def _spread(sizes: Sequence[Tuple[int, int]]) -> List[List[int]]:
    """Smallest, median and largest of each side."""
    sides = np.array(sizes)
    return np.percentile(sides, [0, 50, 100], axis=0).astype(int).tolist()
