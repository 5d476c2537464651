"""Streams of batches out of TFRecord shards, for training and for evaluation.

A training stream is a pure function of its seed: the element at a position, its place in the
shuffled order and its augmentation, can be computed without those before it. So a stream goes
on exactly where another one stopped, and nothing skipped is read.
"""

import functools
import glob
import os
from typing import List, Optional, Tuple

import numpy as np
import tensorflow as tf
from absl import logging

from adl_tf.data import augmentation, schema
from adl_tf.data.cache import decode_cached, write_cache
from adl_tf.data.description import (
    DESCRIPTION_FILE,
    IGNORE_LABEL,
    DatasetDescription,
    Shard,
    Size,
    Split,
    default_colors,
    load_description,
)
from adl_tf.data.normalization import MEAN_COLOR, normalize
from adl_tf.data.records import Records

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
        cache_dir: Optional[str] = None,
    ):
        """Opens the split and finds its records.

        Args:
          dataset_dir: directory of the shards.
          split: such as "train".
          num_classes: needed only where there is no `dataset.json`.
          max_bad_records: how many bad records are reported and skipped before a stream fails.
          cache_dir: where decoded examples are kept, which takes as much room as their pixels;
            None: they are decoded each time.

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
        files = [os.path.join(dataset_dir, shard.file) for shard in shards]
        self._records = Records(files, [shard.examples for shard in shards])
        self.num_examples = len(self._records)
        if not self.num_examples:
            raise ValueError(f"{dataset_dir}: split {split!r} is empty; run the converter again.")
        self._bad = {}
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

    @functools.cached_property
    def largest_size(self) -> Optional[Size]:
        """Largest (height, width), each over all images; None where a record does not say its own.

        Where the data set's description does not know it, this takes a pass over the records.
        """
        known = self.description.splits[self.split].max_size
        if known:
            return known

        def size(record):
            return self._records.read(record).map(schema.read_size).ignore_errors()

        numbers = tf.data.Dataset.range(self.num_examples)
        sizes = list(numbers.flat_map(size).as_numpy_iterator())
        return tuple(np.max(sizes, axis=0).tolist()) if sizes and np.all(sizes) else None

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

    def records_by_class(self, chosen: np.ndarray) -> List[np.ndarray]:
        """Of the chosen records those that show each class; classes that none shows are left out.

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
          of a bad record valid is False and the rest a stand-in of one pixel.
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
          image and label as crop returns them, valid bool scalar; of a bad record valid is
          False and the rest a stand-in of one pixel.
        """

        def decode(serialized):
            if not self._cached:
                return crop(*schema.open_example(serialized, self.num_classes))
            image, label, _ = decode_cached(serialized)
            return crop(lambda rectangle: schema.cut(image, rectangle), label)

        return self._try(record, decode, (tf.zeros([1, 1, 3]), tf.fill([1, 1], IGNORE_LABEL)))

    def _try(self, record, decode, stand_in):
        """What decode makes of a serialized record and True, or the stand-in and False.

        A bad record must not stop the stream here, and TensorFlow has no exceptions in graphs;
        a data set of one element that drops errors, followed by a stand-in, is its equivalent.
        """
        one = (self._cached or self._records).read(record)
        one = one.map(lambda serialized: (*decode(serialized), True)).ignore_errors()
        one = one.concatenate(tf.data.Dataset.from_tensors((*stand_in, False))).take(1)
        return one.get_single_element()

    def find_fault(self, record: int) -> Optional[str]:
        """Says in a few words what is wrong with a record; None when it is good."""
        try:
            one = self._records.read(tf.constant(record, tf.int64))
            serialized = one.get_single_element()
        except tf.errors.OpError as error:
            return f"corrupt TFRecord framing ({schema.describe_error(error)})"
        return schema.find_fault(serialized, self.num_classes, self.labelled)

    def record_name(self, record: int) -> str:
        """Shard file and record number, for messages."""
        return self._records.name(record)

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
    class_balance: float = 0.0,
    start_position: int = 0,
    deterministic: bool = False,
    service: Optional[str] = None,
) -> tf.data.Dataset:
    """Infinite stream of shuffled, augmented batches.

    Every epoch is a random permutation of all records (but for class_balance); memory holds
    their numbers and the few images in flight, however large the set is.

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
      class_balance: share of the places in the order that are given to a record drawn for a
        class, all classes being equally likely, so that rare ones are seen more often.
      start_position: go on at this position of the stream; nothing before it is read.
      deterministic: keep the order bit for bit; without it a slow image lets others pass.
      service: address of a tf.data service, "grpc://host:port", whose workers read, decode and
        augment; trainers with the same arguments share its work, and each epoch its examples.

    Returns:
      data set of dicts:
        image: float32 [B, h, w, 3] in [-1, 1].
        label: int32 [B, h, w], the ignore label intact.
        position: int64 [B], epoch * N + place in that epoch's order, for N records.

    Raises:
      ValueError: see `RecordReader.subset` and `records_by_class`; an unlabelled split; scales
        out of order; a deterministic service.
      tf.errors.InvalidArgumentError: while iterating, at one bad record too many.
    """
    if not reader.labelled:
        raise ValueError(f"split {reader.split!r} has no label maps; train on another split.")
    if not 0 < min_scale <= max_scale or scale_step < 0:
        raise ValueError(
            f"scales {min_scale}..{max_scale} step {scale_step}: they need "
            "0 < min_scale <= max_scale and scale_step >= 0."
        )
    if service and deterministic:
        raise ValueError("deterministic=True cannot be had of a service: its workers race.")
    chosen = reader.subset(subset, seed)
    count = len(chosen)
    fold_in = tf.random.experimental.stateless_fold_in
    stream_seed = tf.constant([seed, _SUBSETS.index(subset)], tf.int64)
    order_seed, balance_seed, augmentation_seed = (fold_in(stream_seed, i) for i in range(3))
    draw_balanced = _balanced_draw(reader.records_by_class(chosen)) if class_balance else None

    def shuffled_epoch(epoch):
        order = tf.random.experimental.stateless_shuffle(chosen, fold_in(order_seed, epoch))
        if class_balance:
            draw = tf.random.stateless_uniform([3, count], fold_in(balance_seed, epoch))
            order = tf.where(draw[0] < class_balance, draw_balanced(draw[1], draw[2]), order)
        positions = epoch * count + tf.range(count, dtype=tf.int64)
        elements = tf.data.Dataset.from_tensor_slices({"position": positions, "record": order})
        return elements.skip(tf.maximum(start_position - epoch * count, 0))

    def load(element):
        def crop(read, label):
            image, label = augmentation.augment(
                read,
                label,
                fold_in(augmentation_seed, element["position"]),
                crop_size=crop_size,
                min_scale=min_scale,
                max_scale=max_scale,
                scale_step=scale_step,
                flip=flip,
            )
            return normalize(image), label

        image, label, valid = reader.load_crop(element["record"], crop)
        # Only a stand-in changes its shape.
        image, label = tf.broadcast_to(image, [*crop_size, 3]), tf.broadcast_to(label, crop_size)
        return {**element, "image": image, "label": label, "valid": valid}

    dataset = tf.data.Dataset.range(start_position // count, np.iinfo(np.int64).max)
    dataset = dataset.flat_map(shuffled_epoch)
    dataset = dataset.map(load, tf.data.AUTOTUNE, deterministic=deterministic)
    if service:
        job = f"{reader.description.name}-{reader.split}-{subset}-{seed}"
        dataset = dataset.apply(
            tf.data.experimental.service.distribute(
                tf.data.experimental.service.ShardingPolicy.DYNAMIC, service, job_name=job
            )
        )
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


def _balanced_draw(members):
    """Turns two numbers in [0, 1) into a class and one of its records."""
    sizes = tf.constant([len(records) for records in members], tf.int64)
    starts = tf.cumsum(sizes, exclusive=True)
    flat = tf.constant(np.concatenate(members))

    def draw(class_draw, record_draw):
        label = tf.cast(class_draw * len(members), tf.int64)
        size = tf.gather(sizes, label)
        place = tf.cast(record_draw * tf.cast(size, tf.float32), tf.int64)
        return tf.gather(flat, tf.gather(starts, label) + tf.minimum(place, size - 1))

    return draw


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
    # The numbers keep the shards of a split "train-extra" out of "train".
    pattern = os.path.join(glob.escape(dataset_dir), f"{split}-[0-9]*-of-[0-9]*")
    files = sorted(glob.glob(pattern))
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
