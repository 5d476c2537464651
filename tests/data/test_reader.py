import pytest
from batches import OPTIONS
from tiny_dataset import encode, write_dataset

from adl_tf.data.reader import RecordReader
from adl_tf.data.streams import train_stream


def test_halves_need_two_examples_and_a_known_name(tmp_path):
    reader = RecordReader(write_dataset(tmp_path, train=[encode(0)]), "train")
    with pytest.raises(ValueError, match="two halves need at least 2"):
        train_stream(reader, subset="A", **OPTIONS)
    with pytest.raises(ValueError, match="subset 'C' is unknown"):
        train_stream(reader, subset="C", **OPTIONS)


@pytest.mark.parametrize(
    "split, num_classes, message",
    [
        ("test", None, "no split 'test'; choose from train, val"),
        ("train", 7, "num_classes=7, but the data set has"),
    ],
)
def test_bad_arguments_are_named(dataset_dir, split, num_classes, message):
    with pytest.raises(ValueError, match=message) as error:
        RecordReader(dataset_dir, split, num_classes)
    assert "\n" not in str(error.value)


def test_missing_shard_and_empty_split_are_named(tmp_path):
    write_dataset(tmp_path, train=[encode(0)], val=[])
    with pytest.raises(ValueError, match="split 'val' is empty"):
        RecordReader(tmp_path, "val")
    (tmp_path / "train-00002-of-00003.tfrecord").unlink()
    with pytest.raises(
        FileNotFoundError, match="train-00002-of-00003.tfrecord: this shard is miss"
    ):
        RecordReader(tmp_path, "train")


def test_shard_with_more_records_than_described_is_refused(tmp_path):
    write_dataset(tmp_path, train=[encode(i) for i in range(3)])
    shard = tmp_path / "train-00001-of-00003.tfrecord"
    shard.write_bytes(shard.read_bytes() * 2)
    with pytest.raises(ValueError, match="more than the 1 records"):
        RecordReader(tmp_path, "train")
