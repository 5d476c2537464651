"""Streams of batches, for training and for evaluation.

A training stream is a pure function of its seed: the element at a position, its record and its
augmentation, can be computed without those before it. So a stream resumes exactly where another one
stopped, and skipped elements are not read.
"""

from typing import Optional, Tuple

import tensorflow as tf

from adl_tf.data.augmentation import augment
from adl_tf.data.description import IGNORE_LABEL
from adl_tf.data.normalization import MEAN_COLOR, normalize
from adl_tf.data.order import shuffled_records
from adl_tf.data.reader import SUBSETS, RecordReader
from adl_tf.data.shard import WHOLE, Shard
from adl_tf.system.settings import Count, Name, NotNegative, Positive, Share, check_server


def train_stream(
    reader: RecordReader,
    *,
    batch_size: Count,
    crop_size: Tuple[int, int],
    seed: int,
    subset: Optional[str] = None,
    min_scale: Positive = 0.5,
    max_scale: Positive = 2.0,
    scale_step: NotNegative = 0.25,
    flip: bool = True,
    class_balance: Share = 0.0,
    start_position: int = 0,
    deterministic: bool = False,
    service: Optional[Name] = None,
    shard: Shard = WHOLE,
) -> tf.data.Dataset:
    """Infinite stream of shuffled, augmented batches.

    Every epoch is a random permutation of all records (unless class_balance is set); memory holds
    their numbers and the few images in flight, however large the set is.

    Args:
      reader: the split.
      batch_size: B.
      crop_size: (h, w); parts of a crop beyond the image are padded.
      seed: seed of subset, order and augmentation.
      subset: "A" or "B" for one half of the split, see `RecordReader.subset`.
      min_scale: see `augmentation.augment`, as the next three.
      max_scale: largest factor.
      scale_step: distance of the factors.
      flip: whether to mirror at random.
      class_balance: share of the places in the order that go to a record of a randomly drawn class,
        all classes being equally likely, so that rare ones are seen more often.
      start_position: where to resume the stream; nothing before it is read.
      deterministic: keep the exact order; without it, slow images may be overtaken.
      service: address of a tf.data service, "grpc://host:port", whose workers read, decode and
        augment; trainers with the same arguments share its work, and each epoch its examples.
      shard: the part to read; the others' images are not decoded.

    Returns:
      data set of dicts:
        image: float32 [B, h, w, 3] in [-1, 1].
        label: int32 [B, h, w], the ignore label intact.
        position: int64 [B], epoch * N + place in that epoch's order, for N records.

    Raises:
      ValueError: see `RecordReader.subset` and `records_by_class`; an unlabelled split; scales
        out of order; a deterministic service, one for shards, or one that does not answer.
      tf.errors.InvalidArgumentError: while iterating, at too many bad records.
    """
    if not reader.labelled:
        raise ValueError(f"split {reader.split!r} has no label maps; train on another split.")
    if not 0 < min_scale <= max_scale or scale_step < 0:
        raise ValueError(
            f"scales {min_scale}..{max_scale} step {scale_step}: must be "
            "0 < min_scale <= max_scale and scale_step >= 0."
        )
    if service and deterministic:
        raise ValueError(
            "deterministic=True is not supported with a service, whose workers race; choose one."
        )
    if service and shard.count > 1:
        raise ValueError(
            "train_stream.service is not supported with several machines, which read their shards "
            "themselves; leave it out."
        )
    records = reader.subset(subset, seed)
    stream_seed = tf.constant([seed, SUBSETS.index(subset)], tf.int64)
    dataset = shuffled_records(
        records,
        stream_seed,
        start_position=start_position,
        class_balance=class_balance,
        records_by_class=reader.records_by_class(records) if class_balance else None,
    )
    dataset = shard.select(dataset, batch_size)
    scales = dict(min_scale=min_scale, max_scale=max_scale, scale_step=scale_step)
    load = _crop_loader(reader, stream_seed, crop_size=crop_size, flip=flip, **scales)
    dataset = dataset.map(load, tf.data.AUTOTUNE, deterministic=deterministic)
    if service:
        job = f"{reader.description.name}-{reader.split}-{subset}-{seed}"
        dataset = _run_in_service(dataset, service, job)
    dataset = reader.bad_records.drop(dataset, len(records)).batch(batch_size, drop_remainder=True)
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
    return _finish(dataset, deterministic)


def evaluation_stream(
    reader: RecordReader,
    *,
    batch_size: int = 1,
    size: Optional[Tuple[int, int]] = None,
    limit: Optional[int] = None,
    shard: Shard = WHOLE,
) -> tf.data.Dataset:
    """One pass over the split in order, every image whole.

    Args:
      reader: the split.
      batch_size: B; the last batch may be smaller.
      size: (h, w) to which images are padded at the bottom and the right; None: as they are,
        one by one.
      limit: number of images, bad ones included; None for all.
      shard: the part of the split; the last batch of each may be smaller, or missing.

    Returns:
      data set of dicts:
        image: float32 [B, h, w, 3] in [-1, 1], padded with 0.
        label: int32 [B, h, w], padded with the ignore label; all ignored without label maps.
        position: int64 [B], the record's number.
        filename: string [B].

    Raises:
      ValueError: batches of images of unknown size, or an image larger than size.
      tf.errors.InvalidArgumentError: while iterating, at too many bad records, or an image
        larger than size if the data set's description does not give the sizes.
    """
    if size is None and batch_size != 1:
        raise ValueError(f"batch_size={batch_size} needs images of one size: give size=(h, w).")
    largest = reader.description.splits[reader.split].max_size
    if size and largest and (largest[0] > size[0] or largest[1] > size[1]):
        raise ValueError(
            f"split {reader.split!r} has images of {largest[0]}x{largest[1]}, which do not fit "
            f"into size={tuple(size)}; give a larger size."
        )

    # AutoGraph has nothing to convert in the readers and would only cost time.
    @tf.autograph.experimental.do_not_convert
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

    count = min(limit or reader.num_examples, reader.num_examples)
    records = shard.select(tf.data.Dataset.range(count), batch_size)
    dataset = records.map(load, tf.data.AUTOTUNE)
    dataset = reader.bad_records.drop(dataset, reader.num_examples).batch(batch_size)
    return _finish(dataset, deterministic=True)


def _crop_loader(reader, stream_seed, *, crop_size, **options):
    """Function that adds a random crop of its record to an element; see `augment`."""
    fold_in = tf.random.experimental.stateless_fold_in
    seed = fold_in(stream_seed, 2)  # The order uses 0 and 1.

    @tf.autograph.experimental.do_not_convert
    def load(element):
        def crop(read, label):
            crop_seed = fold_in(seed, element["position"])
            image, label = augment(read, label, crop_seed, crop_size=crop_size, **options)
            return normalize(image), label

        image, label, valid = reader.load_crop(element["record"], crop)
        # Only a placeholder changes its shape.
        image, label = tf.broadcast_to(image, [*crop_size, 3]), tf.broadcast_to(label, crop_size)
        return {**element, "image": image, "label": label, "valid": valid}

    return load


def _run_in_service(dataset, address, job):
    # TensorFlow would wait for it without a word.
    check_server("train_stream.service", address, "tf.data service")
    service = tf.data.experimental.service
    return dataset.apply(service.distribute(service.ShardingPolicy.DYNAMIC, address, job_name=job))


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
    # Each worker takes every n-th element: records are read by number, so there are no files to
    # distribute.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.with_options(options).prefetch(tf.data.AUTOTUNE)
