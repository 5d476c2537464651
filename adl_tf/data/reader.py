"""One split of a data set, read record by record."""

import functools
import os
from typing import List, Optional

import numpy as np
import tensorflow as tf

from adl_tf.data import schema
from adl_tf.data.bad_records import BadRecords
from adl_tf.data.cache import decode_cached, write_cache
from adl_tf.data.description import (
    DESCRIPTION_FILE,
    IGNORE_LABEL,
    Size,
    read_dataset_description,
)
from adl_tf.data.foreign_records import describe_foreign_split
from adl_tf.data.records import Records

SUBSETS = (None, "A", "B")


class RecordReader:
    """Reads the records of a split by their numbers.

    A search trains on two disjoint halves of one split, trainA for the weights and trainB for
    alpha and beta; `subset` cuts them from a random permutation pi of its N records:

        trainA = {pi(n) : n < floor(N / 2)},    trainB = {pi(n) : n >= floor(N / 2)}

    Reference:
      Liu et al., Auto-DeepLab, section 4.1, https://arxiv.org/abs/1901.02985.

    Example:
      >>> import tempfile
      >>> from data_prep import convert_synthetic
      >>> folder = tempfile.mkdtemp()
      >>> _ = convert_synthetic.build(folder, num_train=4, num_val=1, height=32, width=48)
      >>> reader = RecordReader(folder, "train")
      >>> image, label, filename, valid = reader.load(tf.constant(0, tf.int64))
      >>> image.shape, image.dtype, label.shape, bool(valid)
      (TensorShape([32, 48, 3]), tf.uint8, TensorShape([32, 48]), True)
      >>> sorted([*reader.subset("A", seed=0), *reader.subset("B", seed=0)]) == [0, 1, 2, 3]
      True

    Args:
      dataset_dir: directory of the shards.
      split: such as "train".
      num_classes: needed only where there is no `dataset.json`.
      max_bad_records: how many bad records are reported and skipped before a stream fails.
      cache_dir: where decoded examples are kept, which takes as much room as their pixels;
        None: they are decoded each time.

    Attributes:
      split: its name.
      description: the DatasetDescription.
      num_examples: number of raw records, bad ones included.
      bad_records: the BadRecords that streams of this reader met.

    Raises:
      FileNotFoundError: directory, description or a shard is missing.
      ValueError: the split is unknown or empty, or num_classes differs from the data set's.
    """

    def __init__(
        self,
        dataset_dir,
        split: str,
        num_classes: Optional[int] = None,
        max_bad_records: int = 0,
        cache_dir: Optional[str] = None,
    ):
        dataset_dir = os.fspath(dataset_dir)
        self.split = split
        if num_classes is None or os.path.exists(os.path.join(dataset_dir, DESCRIPTION_FILE)):
            self.description = read_dataset_description(dataset_dir)
        else:
            self.description = describe_foreign_split(dataset_dir, split, num_classes)
        if num_classes not in (None, self.num_classes):
            raise ValueError(
                f"{dataset_dir}: num_classes={num_classes}, but the data set has "
                f"{self.num_classes} classes; leave num_classes out."
            )
        if split not in self.description.splits:
            known = ", ".join(sorted(self.description.splits))
            raise ValueError(f"{dataset_dir}: no split {split!r}; choose from {known}.")
        shards = self.description.splits[split].shards
        files = [os.path.join(dataset_dir, shard.file) for shard in shards]
        self._records = Records(files, [shard.examples for shard in shards])
        self.num_examples = len(self._records)
        if not self.num_examples:
            raise ValueError(f"{dataset_dir}: split {split!r} is empty; run the converter again.")
        self.bad_records = BadRecords(max_bad_records, self.record_name, self.find_fault)
        self._cached = None
        if cache_dir is not None:
            counts = self._records.counts
            cached = write_cache(cache_dir, files, counts, self.load, self.num_classes)
            self._cached = Records(cached, counts)

    @property
    def num_classes(self) -> int:
        """Number of classes, without the ignore label."""
        return self.description.num_classes

    @property
    def labelled(self) -> bool:
        """Whether the split has label maps."""
        return self.description.splits[self.split].labelled

    @property
    def checksum(self) -> str:
        """Of all records in their order, see `Records.checksum`."""
        return self._records.checksum

    @property
    def failure(self) -> Optional[str]:
        """Why a stream failed, in one line; None before.

        TensorFlow adds text of its own to the exception of a stream, so programs print this.
        """
        return self.bad_records.failure

    @property
    def common_size(self) -> Optional[Size]:
        """(height, width) of all images; None where they differ or the description does not say."""
        split = self.description.splits[self.split]
        return split.max_size if split.max_size == split.min_size else None

    @functools.cached_property
    def largest_size(self) -> Optional[Size]:
        """Largest (height, width), each over all images; None where a record does not give its own.

        Unless the data set's description gives it, this takes a pass over the records.
        """
        known = self.description.splits[self.split].max_size
        if known:
            return known

        def size(record):
            return schema.read_size(self._records.read(record).get_single_element())

        numbers = tf.data.Dataset.range(self.num_examples)
        sizes = list(numbers.map(size).ignore_errors().as_numpy_iterator())
        return tuple(np.max(sizes, axis=0).tolist()) if sizes and np.all(sizes) else None

    def subset(self, name: Optional[str], seed: int) -> np.ndarray:
        """Record numbers of one half of the split: disjoint, the same for the same seed.

        Args:
          name: "A", the first half of a random permutation; "B", the rest; None, all records.
          seed: seed of the permutation.

        Returns:
          int64 [N].

        Raises:
          ValueError: another name, or a half without examples.
        """
        if name not in SUBSETS:
            raise ValueError(f"subset {name!r} is unknown; choose from {SUBSETS}.")
        if name is None:
            return np.arange(self.num_examples)
        if self.num_examples < 2:
            raise ValueError(f"split {self.split!r} has 1 example; two halves need at least 2.")
        order = np.random.RandomState(seed).permutation(self.num_examples)
        half = self.num_examples // 2
        return order[:half] if name == "A" else order[half:]

    def records_by_class(self, chosen: np.ndarray) -> List[np.ndarray]:
        """The chosen records that show each class; classes that none of them shows are left out.

        Args:
          chosen: int64 [N], numbers of records.

        Returns:
          one int64 array per class.

        Raises:
          ValueError: the data set's description does not say which record shows which class.
        """
        shards = self.description.splits[self.split].shards
        rows = [row for shard in shards for row in shard.classes]
        if len(rows) != self.num_examples:
            raise ValueError(
                f"split {self.split!r}: {DESCRIPTION_FILE} does not say which record shows which "
                "class; leave class_balance out or run the converter again."
            )
        shown = [[] for _ in range(self.num_classes)]
        for record in chosen:
            for label in rows[record].split():
                shown[int(label)].append(record)
        return [np.array(members, np.int64) for members in shown if members]

    def load(self, record):
        """Reads and decodes one record, in TensorFlow ops only.

        Args:
          record: int64 scalar, the record's number.

        Returns:
          image uint8 [H, W, 3], label uint8 [H, W], filename string scalar, valid bool scalar;
          for a bad record, valid is False and the rest a one-pixel placeholder.
        """

        def decode(serialized):
            if self._cached:
                return decode_cached(serialized)
            return schema.decode_example(serialized, self.num_classes, self.labelled)

        label = tf.fill([1, 1], tf.constant(IGNORE_LABEL, tf.uint8))
        return self._try(record, decode, (tf.zeros([1, 1, 3], tf.uint8), label, ""))

    def load_crop(self, record, crop):
        """Reads one record of a labelled split and decodes what a crop of it needs.

        Args:
          record: int64 scalar, the record's number.
          crop: a function of the two results of `schema.open_example`, such as
            `augmentation.augment`; it returns image float32 [h, w, 3], label int32 [h, w].

        Returns:
          image and label as crop returns them, valid bool scalar; for a bad record, valid is False
          and the rest a one-pixel placeholder.
        """

        def decode(serialized):
            if not self._cached:
                return crop(*schema.open_example(serialized, self.num_classes))
            image, label, _ = decode_cached(serialized)
            return crop(lambda rectangle: schema.cut(image, rectangle), label)

        return self._try(record, decode, (tf.zeros([1, 1, 3]), tf.fill([1, 1], IGNORE_LABEL)))

    def _try(self, record, decode, stand_in):
        """The decoded record and True, or a placeholder and False.

        A bad record must not stop the stream here, and TensorFlow has no exceptions in graphs;
        a data set of one element that drops errors, followed by the placeholder, is the equivalent.
        The element is the number: a file that cannot be opened would be tried again for ever.
        """
        records = self._cached or self._records
        if tf.executing_eagerly():  # A data set would be traced for a single record.
            try:
                return (*decode(records.read(record).get_single_element()), tf.constant(True))
            except tf.errors.OpError:
                return (*map(tf.convert_to_tensor, stand_in), tf.constant(False))
        one = tf.data.Dataset.from_tensors(record)
        one = one.map(lambda n: (*decode(records.read(n).get_single_element()), True))
        one = one.ignore_errors()
        one = one.concatenate(tf.data.Dataset.from_tensors((*stand_in, False))).take(1)
        return one.get_single_element()

    def read_serialized(self, record: int) -> bytes:
        """A record as it is stored.

        Raises:
          tf.errors.DataLossError: its framing is corrupt.
        """
        one = self._records.read(tf.constant(record, tf.int64))
        return one.get_single_element().numpy()

    def find_fault(self, record: int) -> Optional[str]:
        """Says in a few words what is wrong with a record; None if nothing is."""
        try:
            serialized = self.read_serialized(record)
        except tf.errors.NotFoundError:
            return "the file is no longer there"
        except tf.errors.OpError as error:
            return f"corrupt TFRecord framing ({schema.describe_error(error)})"
        return schema.find_fault(serialized, self.num_classes, self.labelled)

    def record_name(self, record: int) -> str:
        """Shard file and record number, for messages."""
        return self._records.name(record)
