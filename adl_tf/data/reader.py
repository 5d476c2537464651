"""Streams of batches out of TFRecord shards, for training and for evaluation.

A training stream is a pure function of its seed: the element at a position, its place in the
shuffled order and its augmentation, can be computed without those before it. So a stream goes
on exactly where another one stopped, and nothing skipped is read.
"""

import glob
import os
from typing import Optional, Tuple

import numpy as np
import tensorflow as tf
from absl import logging

from adl_tf.data import augmentation, records, schema
from adl_tf.data.description import (
    DESCRIPTION_FILE,
    IGNORE_LABEL,
    DatasetDescription,
    Shard,
    Split,
    default_colors,
    load_description,
)
from adl_tf.data.normalization import MEAN_COLOR, normalize

_SUBSETS = (None, "A", "B")


class RecordReader:
    """One split of a data set, read record by record.

    Attributes:
      description: the DatasetDescription.
      num_examples: number of raw records, bad ones included.
      failure: the line that a stream failed with; None before. TensorFlow wraps the exception
        of a stream in text of its own, so a program prints this.
    """

    def __init__(
        self,
        dataset_dir,
        split: str,
        num_classes: Optional[int] = None,
        max_bad_records: int = 0,
    ):
        """Opens the split and finds its records.

        Args:
          dataset_dir: directory of the shards.
          split: such as "train".
          num_classes: needed only where there is no `dataset.json`.
          max_bad_records: how many bad records are reported and skipped before a stream fails.

        Raises:
          FileNotFoundError: directory, description or a shard is missing.
          ValueError: the split is unknown or empty, or num_classes differs from the data set's.
        """
        dataset_dir = os.fspath(dataset_dir)
        self.split = split
        self.max_bad_records = max_bad_records
        self.failure = None
        if num_classes is None or os.path.exists(os.path.join(dataset_dir, DESCRIPTION_FILE)):
            self.description = load_description(dataset_dir)
        else:
            self.description = _describe_foreign(dataset_dir, split, num_classes)
        if num_classes not in (None, self.num_classes):
            raise ValueError(
                f"{dataset_dir}: num_classes={num_classes} was asked for, but the data set "
                f"has {self.num_classes}; leave num_classes out."
            )
        if split not in self.description.splits:
            known = ", ".join(sorted(self.description.splits))
            raise ValueError(f"{dataset_dir}: no split {split!r}; it has: {known}.")
        shards = self.description.splits[split].shards
        self._index = records.index_records(
            [os.path.join(dataset_dir, shard.file) for shard in shards],
            [shard.examples for shard in shards],
        )
        self.num_examples = len(self._index.shard)
        if not self.num_examples:
            raise ValueError(f"{dataset_dir}: split {split!r} is empty; run the converter again.")
        self._bad = {}
        with tf.device("CPU:0"):
            self._files = tf.constant(self._index.files)
            self._spans = tf.constant(
                np.stack([self._index.shard, self._index.offset, self._index.length], 1)
            )

    @property
    def num_classes(self) -> int:
        """Number of classes, without the ignore label."""
        return self.description.num_classes

    @property
    def labelled(self) -> bool:
        """Whether the split has label maps."""
        return self.description.splits[self.split].labelled

    def subset(self, name: Optional[str], seed: int) -> np.ndarray:
        """Record numbers of one half of the split: disjoint, the same for the same seed.

        Args:
          name: "A", the first half of a random permutation; "B", the rest; None, all records.
          seed: of the permutation.

        Returns:
          int64 [N].

        Raises:
          ValueError: another name, or a half without examples.
        """
        if name not in _SUBSETS:
            raise ValueError(f"subset {name!r} is unknown; choose from {_SUBSETS}.")
        if name is None:
            return np.arange(self.num_examples)
        if self.num_examples < 2:
            raise ValueError(f"split {self.split!r} has 1 example; two halves need 2 at least.")
        order = np.random.RandomState(seed).permutation(self.num_examples)
        half = self.num_examples // 2
        return order[:half] if name == "A" else order[half:]

    def load(self, record):
        """Reads and decodes one record, in TensorFlow ops only.

        A bad record must not stop the stream here, and TensorFlow has no exceptions in graphs;
        a data set of one element that drops errors, followed by a stand-in, is its equivalent.

        Args:
          record: int64 scalar, the record's number.

        Returns:
          image uint8 [H, W, 3], label uint8 [H, W], filename string scalar, valid bool scalar;
          of a bad record valid is False and the rest a stand-in of one pixel.
        """

        def decode(serialized):
            return (*schema.decode_example(serialized, self.num_classes, self.labelled), True)

        stand_in = (
            tf.zeros([1, 1, 3], tf.uint8),
            tf.fill([1, 1], tf.constant(IGNORE_LABEL, tf.uint8)),
            "",
            False,
        )
        one = self._read(record).map(decode).ignore_errors()
        one = one.concatenate(tf.data.Dataset.from_tensors(stand_in)).take(1)
        return one.get_single_element()

    def find_fault(self, record: int) -> Optional[str]:
        """Says in a few words what is wrong with a record; None when it is good."""
        try:
            serialized = self._read(tf.constant(record, tf.int64)).get_single_element()
        except tf.errors.OpError as error:
            return f"corrupt TFRecord framing ({schema.describe_error(error)})"
        return schema.find_fault(serialized, self.num_classes, self.labelled)

    def record_name(self, record: int) -> str:
        """Shard file and record number, for messages."""
        return self._index.name(record)

    def drop_bad(self, dataset: tf.data.Dataset, available: int) -> tf.data.Dataset:
        """Reports and removes the elements whose "valid" is False, and that key of the rest.

        Args:
          dataset: of dicts with "record" (int64 scalar) and "valid" (bool scalar).
          available: number of records the data set draws from; when all are bad it fails
            whatever max_bad_records says.

        Raises:
          tf.errors.InvalidArgumentError: while iterating, at one bad record too many.
        """

        def report(record):
            return self._report(int(record), min(self.max_bad_records, available - 1))

        def reject(record):
            failure = tf.numpy_function(report, [record], tf.string)
            with tf.control_dependencies([tf.debugging.Assert(failure == "", [failure])]):
                return tf.constant(False)

        def is_good(element):
            return tf.cond(element["valid"], lambda: True, lambda: reject(element["record"]))

        def strip(element):
            return {k: v for k, v in element.items() if k not in ("record", "valid")}

        return dataset.filter(is_good).map(strip)

    def _read(self, record):
        shard, offset, length = tf.unstack(self._spans[record])
        return records.read_record(self._files[shard], offset, length)

    def _report(self, record, allowed):
        if record not in self._bad:
            self._bad[record] = self.find_fault(record) or "reading it failed once"
            logging.warning("%s: bad, skipped: %s", self.record_name(record), self._bad[record])
        if len(self._bad) <= allowed:
            return ""
        self.failure = (
            f"{self.record_name(record)}: {self._bad[record]}. {len(self._bad)} bad records, "
            f"{allowed} allowed: mend the data or raise max_bad_records."
        )
        return self.failure


def train_stream(
    reader: RecordReader,
    *,
    batch_size: int,
    crop_size: Tuple[int, int],
    seed: int,
    subset: Optional[str] = None,
    min_scale: float = 0.5,
    max_scale: float = 2.0,
    scale_step: float = 0.25,
    flip: bool = True,
    start_position: int = 0,
    deterministic: bool = False,
) -> tf.data.Dataset:
    """Infinite stream of shuffled, augmented batches.

    Every epoch is a random permutation of all records; memory holds their numbers and the few
    images in flight, however large the set is.

    Args:
      reader: the split.
      batch_size: B.
      crop_size: (h, w); parts of a crop beyond the image are padded.
      seed: of subset, order and augmentation.
      subset: "A" or "B" for one half of the split, see `RecordReader.subset`.
      min_scale: see `augmentation.augment`, as the next three.
      max_scale: largest factor.
      scale_step: distance of the factors.
      flip: whether to mirror at random.
      start_position: go on at this position of the stream; nothing before it is read.
      deterministic: keep the order bit for bit; without it a slow image lets others pass.

    Returns:
      data set of dicts:
        image: float32 [B, h, w, 3] in [-1, 1].
        label: int32 [B, h, w], the ignore label intact.
        position: int64 [B], epoch * N + place in that epoch's order, for N records.

    Raises:
      ValueError: see `RecordReader.subset`; an unlabelled split; scales out of order.
      tf.errors.InvalidArgumentError: while iterating, at one bad record too many.
    """
    if not reader.labelled:
        raise ValueError(f"split {reader.split!r} has no label maps; train on another split.")
    if not 0 < min_scale <= max_scale or scale_step < 0:
        raise ValueError(
            f"scales {min_scale}..{max_scale} step {scale_step}: they need "
            "0 < min_scale <= max_scale and scale_step >= 0."
        )
    chosen = reader.subset(subset, seed)
    count = len(chosen)
    fold_in = tf.random.experimental.stateless_fold_in
    stream_seed = tf.constant([seed, _SUBSETS.index(subset)], tf.int64)
    order_seed, augmentation_seed = fold_in(stream_seed, 0), fold_in(stream_seed, 1)

    def shuffled_epoch(epoch):
        order = tf.random.experimental.stateless_shuffle(chosen, fold_in(order_seed, epoch))
        positions = epoch * count + tf.range(count, dtype=tf.int64)
        return tf.data.Dataset.from_tensor_slices({"position": positions, "record": order})

    def load(element):
        image, label, _, valid = reader.load(element["record"])
        image, label = augmentation.augment(
            image,
            label,
            fold_in(augmentation_seed, element["position"]),
            crop_size=tuple(crop_size),
            min_scale=min_scale,
            max_scale=max_scale,
            scale_step=scale_step,
            flip=flip,
        )
        return {**element, "image": normalize(image), "label": label, "valid": valid}

    dataset = tf.data.Dataset.range(start_position // count, np.iinfo(np.int64).max)
    dataset = dataset.flat_map(shuffled_epoch).skip(start_position % count)
    dataset = dataset.map(load, tf.data.AUTOTUNE, deterministic=deterministic)
    dataset = reader.drop_bad(dataset, count).batch(batch_size, drop_remainder=True)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
    return _finish(dataset, deterministic)


def evaluation_stream(
    reader: RecordReader, *, batch_size: int = 1, size: Optional[Tuple[int, int]] = None
) -> tf.data.Dataset:
    """One pass over the split in order, every image whole.

    Args:
      reader: the split.
      batch_size: B; the last batch may be smaller.
      size: (h, w) to which images are padded at the bottom and the right; None: as they are,
        one by one.

    Returns:
      data set of dicts:
        image: float32 [B, h, w, 3] in [-1, 1], padded with 0.
        label: int32 [B, h, w], padded with the ignore label; all ignored without label maps.
        position: int64 [B], the record's number.
        filename: string [B].

    Raises:
      ValueError: batches of images of unknown size, or an image larger than size.
      tf.errors.InvalidArgumentError: while iterating, at one bad record too many, or an image
        larger than size where the data set's description does not know.
    """
    if size is None and batch_size != 1:
        raise ValueError(f"batch_size={batch_size} needs images of one size: give size=(h, w).")
    largest = reader.description.splits[reader.split].max_size
    if size and largest and (largest[0] > size[0] or largest[1] > size[1]):
        raise ValueError(
            f"split {reader.split!r} has images of {largest[0]}x{largest[1]}, which do not fit "
            f"into size={tuple(size)}; give a larger size."
        )

    def load(record):
        image, label, filename, valid = reader.load(record)
        if size is not None:
            image, label = _pad(image, label, size)
        return {
            "record": record,
            "position": record,
            "image": normalize(image),
            "label": tf.cast(label, tf.int32),
            "filename": filename,
            "valid": valid,
        }

    dataset = tf.data.Dataset.range(reader.num_examples).map(load, tf.data.AUTOTUNE)
    dataset = reader.drop_bad(dataset, reader.num_examples).batch(batch_size)
    return _finish(dataset, deterministic=True)


def _pad(image, label, size):
    missing = tf.constant(size) - tf.shape(label)
    fits = tf.debugging.Assert(
        tf.reduce_all(missing >= 0),
        ["an image of size", tf.shape(label), f"does not fit into size={tuple(size)}"],
    )
    with tf.control_dependencies([fits]):
        padding = [[0, missing[0]], [0, missing[1]]]
    image = tf.pad(tf.cast(image, tf.float32), [*padding, [0, 0]], constant_values=MEAN_COLOR)
    label = tf.pad(label, padding, constant_values=IGNORE_LABEL)
    return tf.ensure_shape(image, [*size, 3]), tf.ensure_shape(label, size)


def _finish(dataset, deterministic):
    options = tf.data.Options()
    options.deterministic = deterministic
    # Workers take every n-th element: the records are read by number, there are no files to
    # deal out.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.with_options(options).prefetch(tf.data.AUTOTUNE)


def _describe_foreign(dataset_dir, split, num_classes):
    """Describes shards that came without `dataset.json`; they are found by their names."""
    files = sorted(glob.glob(os.path.join(glob.escape(dataset_dir), f"{split}-*-of-*")))
    if not files:
        raise FileNotFoundError(
            f"{dataset_dir}: no {DESCRIPTION_FILE} and no shards {split}-*-of-* there."
        )
    shards = tuple(Shard(os.path.basename(file), examples=-1) for file in files)
    return DatasetDescription(
        name=os.path.basename(os.path.abspath(dataset_dir)),
        class_names=tuple(f"class {label}" for label in range(num_classes)),
        colors=default_colors(num_classes),
        splits={split: Split(shards)},
    )
