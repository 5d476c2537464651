"""Decoded examples on disk, for machines whose processors decode too slowly.

One file per shard, records in the same order, pixels as they are in memory. The operating system
keeps what fits in memory.
"""

import itertools
import os
from typing import Sequence

import tensorflow as tf
from absl import logging

from adl_tf.system.files import exclusive, replacing
from adl_tf.system.progress import say

_FEATURES = {
    "image": tf.io.FixedLenFeature([], tf.string),
    "label": tf.io.FixedLenFeature([], tf.string),
    "size": tf.io.FixedLenFeature([2], tf.int64),
    "filename": tf.io.FixedLenFeature([], tf.string),
}


def write_cache(
    cache_dir: str, shards: Sequence[str], counts: Sequence[int], load, num_classes: int
) -> Sequence[str]:
    """Decodes the shards that the cache does not hold yet.

    A cached file is named after the size and time of its shard, so a shard converted again is
    decoded again. A bad record becomes an empty one, which `decode_cached` refuses. Of several
    processes one decodes, and the others wait for it.

    Args:
      cache_dir: created if missing.
      shards: paths of the TFRecord files.
      counts: number of records of each.
      load: function of a record's number, see `RecordReader.load`.
      num_classes: what the label ids were checked against.

    Returns:
      paths of the cached files, one per shard.
    """
    paths, starts = [], itertools.accumulate(counts, initial=0)
    for shard in shards:
        status = os.stat(shard)
        key = f"{status.st_size}-{status.st_mtime_ns}-{num_classes}"
        paths.append(os.path.join(cache_dir, f"{os.path.basename(shard)}-{key}.decoded"))
    if not all(map(os.path.exists, paths)):
        with exclusive(cache_dir, lambda: say(f"{cache_dir}: another process decodes into it.")):
            for path, shard, first, count in zip(paths, shards, starts, counts):
                if not os.path.exists(path):
                    logging.info("decoding %s into %s", shard, path)
                    records = tf.data.Dataset.range(first, first + count)
                    loaded = records.map(load, tf.data.AUTOTUNE, deterministic=True)
                    _write(path, loaded.prefetch(2))
    return paths


def decode_cached(serialized):
    """Undoes the cache's encoding.

    Args:
      serialized: string scalar.

    Returns:
      image uint8 [H, W, 3], label uint8 [H, W], filename string scalar.

    Raises:
      tf.errors.InvalidArgumentError: the record was bad.
    """
    features = tf.io.parse_single_example(serialized, _FEATURES)
    image = tf.reshape(
        tf.io.decode_raw(features["image"], tf.uint8), tf.concat([features["size"], [3]], 0)
    )
    label = tf.reshape(tf.io.decode_raw(features["label"], tf.uint8), features["size"])
    return image, label, features["filename"]


def _write(path, dataset):
    def bytes_feature(value):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    with replacing(path) as temporary, tf.io.TFRecordWriter(temporary) as writer:
        for image, label, filename, valid in dataset.as_numpy_iterator():
            features = {
                "image": bytes_feature(image.tobytes()),
                "label": bytes_feature(label.tobytes()),
                "size": tf.train.Feature(int64_list=tf.train.Int64List(value=label.shape)),
                "filename": bytes_feature(filename),
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString() if valid else b"")
