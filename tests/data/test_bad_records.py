import pytest
import tensorflow as tf
from batches import OPTIONS, assert_equal, positions, take
from tiny_dataset import BAD_RECORDS, encode, flip_byte, write_dataset

from adl_tf.data.reader import RecordReader
from adl_tf.data.streams import evaluation_stream, train_stream


@pytest.mark.parametrize("fault", BAD_RECORDS)
def test_bad_record_is_named_and_skipped(tmp_path, fault, caplog):
    records = [encode(0), encode(1), BAD_RECORDS[fault], encode(2)]
    write_dataset(tmp_path, train=records, val=records)
    reader = RecordReader(tmp_path, "val", max_bad_records=1)
    for _ in range(2):  # A second pass counts and reports nothing twice.
        assert positions(take(evaluation_stream(reader), 4)) == [0, 1, 3]
    (line,) = [record.getMessage() for record in caplog.records]
    assert "val-00002-of-00003.tfrecord: record 0: skipped: " in line and "\n" not in line


@pytest.mark.parametrize("fault", BAD_RECORDS)
def test_one_bad_record_too_many_fails_in_one_line(tmp_path, fault):
    write_dataset(tmp_path, train=[encode(0), BAD_RECORDS[fault], encode(2)])
    reader = RecordReader(tmp_path, "train")
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="record 0: .*1 bad records, 0 allowed"
    ):
        take(train_stream(reader, **OPTIONS), 5)
    assert reader.failure.startswith(str(tmp_path / "train-00001-of-00003.tfrecord: record 0: "))
    assert "\n" not in reader.failure


def test_a_set_of_only_bad_records_fails_whatever_is_allowed(tmp_path):
    write_dataset(tmp_path, train=list(BAD_RECORDS.values()))
    reader = RecordReader(tmp_path, "train", max_bad_records=1000)
    with pytest.raises(tf.errors.InvalidArgumentError):
        take(train_stream(reader, **OPTIONS), 1)


def test_stream_resumes_bit_for_bit_over_bad_records(tmp_path):
    records = [encode(i) for i in range(6)] + list(BAD_RECORDS.values())
    write_dataset(tmp_path, train=records)
    reader = RecordReader(tmp_path, "train", max_bad_records=len(BAD_RECORDS))
    whole = take(train_stream(reader, **OPTIONS), 9)
    assert len(set(positions(whole))) == 18 and positions(whole) != list(range(18))
    for batches in range(1, 6):
        start = positions(whole[:batches])[-1] + 1
        again = RecordReader(tmp_path, "train", max_bad_records=len(BAD_RECORDS))
        rest = take(train_stream(again, start_position=start, **OPTIONS), 9 - batches)
        assert_equal(rest, whole[batches:])


def test_reasons_are_told_apart(tmp_path):
    write_dataset(tmp_path, train=[encode(0), *BAD_RECORDS.values()])
    reader = RecordReader(tmp_path, "train")
    assert reader.find_fault(0) is None
    faults = dict(zip(BAD_RECORDS, map(reader.find_fault, range(1, 1 + len(BAD_RECORDS)))))
    assert "Unknown image file format" in faults["image not an image"]
    assert "image/segmentation/class/encoded is missing" in faults["no label"]
    assert (
        faults["label of other size"]
        == "label: its size 28, 40 differs from the image's size 24, 40"
    )
    assert faults["unknown label id"] == "label: label id 5 is neither in 0..4 nor 255"


@pytest.mark.parametrize(
    "damage, lost",
    [
        (lambda path: flip_byte(path, 300), {0}),  # Inside the first record.
        (lambda path: flip_byte(path, 1), {0, 1}),  # Its length: all of the shard is lost.
        (lambda path: path.write_bytes(path.read_bytes()[:-9]), {1}),
        (lambda path: path.write_bytes(b""), {0, 1}),
    ],
)
def test_damaged_shards_lose_no_more_than_they_must(tmp_path, damage, lost):
    write_dataset(tmp_path, val=[encode(i) for i in range(6)])
    damage(tmp_path / "val-00000-of-00003.tfrecord")
    reader = RecordReader(tmp_path, "val", max_bad_records=2)
    assert reader.num_examples == 6
    assert set(positions(take(evaluation_stream(reader), 6))) == set(range(6)) - lost
