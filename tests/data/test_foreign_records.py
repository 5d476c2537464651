"""Records that came without `dataset.json`."""

import numpy as np
import pytest
import tensorflow as tf
from batches import take
from tiny_dataset import BAD_RECORDS, NUM_CLASSES, encode, flip_byte, write_shards

from adl_tf.data.reader import RecordReader
from adl_tf.data.streams import evaluation_stream


def test_foreign_records_need_only_the_number_of_classes(dataset_dir):
    (dataset_dir / "dataset.json").unlink()
    with pytest.raises(FileNotFoundError, match="num_classes"):
        RecordReader(dataset_dir, "train")
    reader = RecordReader(dataset_dir, "train", num_classes=NUM_CLASSES)
    assert (reader.num_examples, reader.num_classes) == (10, NUM_CLASSES)
    assert len(take(evaluation_stream(reader), 20)) == 10
    with pytest.raises(FileNotFoundError, match="no shards test"):
        RecordReader(dataset_dir, "test", num_classes=NUM_CLASSES)


def test_split_is_not_confused_with_one_of_a_longer_name(dataset_dir):
    write_shards(dataset_dir, "train-extra", [encode(0)] * 3)
    (dataset_dir / "dataset.json").unlink()
    for split, examples in (("train", 10), ("train-extra", 3)):
        assert RecordReader(dataset_dir, split, num_classes=NUM_CLASSES).num_examples == examples


def test_largest_size_is_read_from_records_without_description(tmp_path):
    records = [encode(0, width=50), encode(1, height=30), BAD_RECORDS["nonsense"]]
    write_shards(tmp_path, "val", records)
    write_shards(tmp_path, "silent", [encode(0), encode(1, height=0)])
    flip_byte(write_and_find(tmp_path, "damaged", [encode(0), encode(1)]), 300)
    sizes = {
        split: RecordReader(tmp_path, split, num_classes=NUM_CLASSES).largest_size
        for split in ("val", "silent", "damaged")
    }
    assert sizes == {"val": (30, 50), "silent": None, "damaged": (24, 40)}


def write_and_find(directory, split, records):
    """Writes one shard; returns its path."""
    (shard,) = write_shards(directory, split, records, num_shards=1).shards
    return directory / shard.file


def test_records_written_as_deeplab_does(tmp_path):
    """Written out here, feature by feature, as DeepLab's converters do."""

    def feature(value):
        if isinstance(value, int):
            return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    image = np.full((9, 13, 3), 50, np.uint8)
    label = np.full((9, 13), 2, np.uint8)
    features = {
        "image/encoded": tf.io.encode_jpeg(image).numpy(),
        "image/filename": b"2007_000032",
        "image/format": b"jpeg",
        "image/height": 9,
        "image/width": 13,
        "image/channels": 3,
        "image/segmentation/class/encoded": tf.io.encode_png(label[..., None]).numpy(),
        "image/segmentation/class/format": b"png",
    }
    example = tf.train.Example(
        features=tf.train.Features(feature={k: feature(v) for k, v in features.items()})
    )
    with tf.io.TFRecordWriter(str(tmp_path / "train-00000-of-00001.tfrecord")) as writer:
        writer.write(example.SerializeToString())
    reader = RecordReader(tmp_path, "train", num_classes=21)
    (batch,) = take(evaluation_stream(reader), 2)
    assert batch["filename"][0] == b"2007_000032" and (batch["label"] == 2).all()
    np.testing.assert_allclose((batch["image"] + 1) * 127.5, 50, atol=2)
