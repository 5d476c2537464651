import numpy as np
import pytest
import tensorflow as tf
from tiny_dataset import (
    BAD_RECORDS,
    NUM_CLASSES,
    encode,
    make_pair,
    write_dataset,
    write_shards,
)

from adl_tf.data.reader import RecordReader
from adl_tf.data.streams import evaluation_stream, train_stream

OPTIONS = dict(batch_size=2, crop_size=(17, 33), seed=7, deterministic=True)


def take(stream, batches):
    return [{k: v.numpy() for k, v in batch.items()} for batch in stream.take(batches)]


def positions(batches):
    return np.concatenate([batch["position"] for batch in batches]).tolist()


def assert_equal(left, right):
    assert len(left) == len(right)
    for a, b in zip(left, right):
        assert a.keys() == b.keys()
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])


def which(batches):
    """Which example each element is, by its green channel; for crops inside the image."""
    values = np.concatenate([b["image"][:, b["image"].shape[1] // 2, 5, 1] for b in batches])
    return np.round((values + 1) * 127.5).astype(int).tolist()


def inside(reader, **options):
    """A stream whose crops never leave the image."""
    return train_stream(
        reader, **{**OPTIONS, "min_scale": 1.0, "max_scale": 1.0, "scale_step": 0, **options}
    )


def test_batches_have_the_shapes_and_ranges_promised(dataset_dir):
    stream = train_stream(RecordReader(dataset_dir, "train"), **OPTIONS)
    assert stream.cardinality() == tf.data.INFINITE_CARDINALITY
    assert stream.element_spec["image"].shape == (2, 17, 33, 3)
    for batch in take(stream, 8):
        assert batch["image"].dtype == np.float32 and batch["label"].dtype == np.int32
        assert batch["label"].shape == (2, 17, 33) and batch["position"].shape == (2,)
        assert batch["image"].min() >= -1 and batch["image"].max() <= 1
        assert set(np.unique(batch["label"])) <= {*range(NUM_CLASSES), 255}


def test_each_epoch_is_another_permutation(dataset_dir):
    reader = RecordReader(dataset_dir, "train")
    order = which(take(inside(reader), 15))
    epochs = [order[:10], order[10:20], order[20:]]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 3
    assert which(take(inside(reader, seed=8), 5)) != epochs[0]


def test_halves_are_disjoint_and_depend_on_the_seed_alone(dataset_dir):
    reader = RecordReader(dataset_dir, "train")
    seen = {
        (name, seed): set(which(take(inside(reader, subset=name, seed=seed, batch_size=5), 3)))
        for name in "AB"
        for seed in (7, 8)
    }
    for seed in (7, 8):
        assert len(seen["A", seed]) == len(seen["B", seed]) == 5
        assert seen["A", seed] | seen["B", seed] == set(range(10))
        assert seen["A", seed] == set(reader.subset("A", seed).tolist())
    assert seen["A", 7] != seen["A", 8]


def test_halves_cannot_be_had_of_one_example_or_under_another_name(tmp_path):
    reader = RecordReader(write_dataset(tmp_path, train=[encode(0)]), "train")
    with pytest.raises(ValueError, match="two halves need 2"):
        train_stream(reader, subset="A", **OPTIONS)
    with pytest.raises(ValueError, match="subset 'C' is unknown"):
        train_stream(reader, subset="C", **OPTIONS)


@pytest.mark.parametrize("subset", [None, "A"])
@pytest.mark.parametrize("batches", [1, 4, 9])  # The last beyond the first epoch.
def test_stream_goes_on_bit_for_bit(dataset_dir, subset, batches):
    reader = RecordReader(dataset_dir, "train")
    whole = take(train_stream(reader, subset=subset, **OPTIONS), batches + 6)
    start = positions(whole[:batches])[-1] + 1
    rest = take(train_stream(reader, subset=subset, start_position=start, **OPTIONS), 6)
    assert_equal(rest, whole[batches:])


def test_stream_goes_on_bit_for_bit_over_bad_records(tmp_path):
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


def test_skipped_examples_are_not_read(dataset_dir):
    reader = RecordReader(dataset_dir, "train")
    stream = train_stream(reader, start_position=10**12, **OPTIONS)
    assert positions(take(stream, 1)) == [10**12, 10**12 + 1]


def test_loose_order_drops_and_repeats_nothing(dataset_dir):
    """A slow image may let others pass, but it comes."""
    reader = RecordReader(dataset_dir, "train")
    loose = positions(take(train_stream(reader, **{**OPTIONS, "deterministic": False}), 60))
    exact = positions(take(train_stream(reader, **OPTIONS), 5))
    assert len(set(loose)) == len(loose)
    assert set(exact) <= set(loose)


def test_crop_larger_than_the_image(dataset_dir):
    stream = train_stream(RecordReader(dataset_dir, "train"), **{**OPTIONS, "crop_size": (97, 129)})
    for batch in take(stream, 2):
        padded = batch["label"] == 255
        assert padded.any() and not padded.all()
        assert (batch["image"][:, 0, 0] == 0).all() or not padded[:, 0, 0].all()


@pytest.mark.parametrize("fault", BAD_RECORDS)
def test_bad_record_is_named_and_skipped(tmp_path, fault, caplog):
    records = [encode(0), encode(1), BAD_RECORDS[fault], encode(2)]
    write_dataset(tmp_path, train=records, val=records)
    reader = RecordReader(tmp_path, "val", max_bad_records=1)
    for _ in range(2):  # A second pass counts and reports nothing twice.
        assert positions(take(evaluation_stream(reader), 4)) == [0, 1, 3]
    (line,) = [record.getMessage() for record in caplog.records]
    assert "val-00002-of-00003.tfrecord: record 0: bad, skipped: " in line and "\n" not in line


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
    assert faults["unknown label id"] == "label: label id 5 is not in 0..4 nor 255"


def flip_byte(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 0x55
    path.write_bytes(content)


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


def test_set_of_bad_records_only_fails_whatever_is_allowed(tmp_path):
    write_dataset(tmp_path, train=list(BAD_RECORDS.values()))
    reader = RecordReader(tmp_path, "train", max_bad_records=1000)
    with pytest.raises(tf.errors.InvalidArgumentError):
        take(train_stream(reader, **OPTIONS), 1)


def test_evaluation_is_whole_and_in_order(dataset_dir):
    batches = take(evaluation_stream(RecordReader(dataset_dir, "val")), 10)
    assert [b["filename"][0].decode() for b in batches] == [f"example_{i}" for i in range(4)]
    for index, batch in enumerate(batches):
        image, label = make_pair(index)
        np.testing.assert_array_equal(batch["label"][0], label)
        np.testing.assert_allclose((batch["image"][0] + 1) * 127.5, image, atol=1e-3)


def test_evaluation_pads_to_a_size(dataset_dir):
    reader = RecordReader(dataset_dir, "val")
    batches = take(evaluation_stream(reader, batch_size=3, size=(33, 49)), 10)
    assert [len(b["position"]) for b in batches] == [3, 1]
    image, label = batches[0]["image"][1], batches[0]["label"][1]
    np.testing.assert_array_equal(label[:24, :40], make_pair(1)[1])
    assert (label[24:] == 255).all() and (label[:, 40:] == 255).all()
    assert (image[24:] == 0).all() and (image[:, 40:] == 0).all()


def test_evaluation_refuses_a_size_too_small(dataset_dir):
    reader = RecordReader(dataset_dir, "val")
    with pytest.raises(ValueError, match="needs images of one size"):
        evaluation_stream(reader, batch_size=2)
    with pytest.raises(tf.errors.InvalidArgumentError, match="does not fit"):
        take(evaluation_stream(reader, size=(20, 99)), 1)


def test_records_of_others_need_the_number_of_classes_only(dataset_dir):
    (dataset_dir / "dataset.json").unlink()
    with pytest.raises(FileNotFoundError, match="num_classes"):
        RecordReader(dataset_dir, "train")
    reader = RecordReader(dataset_dir, "train", num_classes=NUM_CLASSES)
    assert (reader.num_examples, reader.num_classes) == (10, NUM_CLASSES)
    assert len(take(evaluation_stream(reader), 20)) == 10
    with pytest.raises(FileNotFoundError, match="no shards test"):
        RecordReader(dataset_dir, "test", num_classes=NUM_CLASSES)


def test_records_of_others_are_told_apart_from_a_split_of_a_longer_name(dataset_dir):
    write_shards(dataset_dir, "train-extra", [encode(0)] * 3)
    (dataset_dir / "dataset.json").unlink()
    for split, examples in (("train", 10), ("train-extra", 3)):
        assert RecordReader(dataset_dir, split, num_classes=NUM_CLASSES).num_examples == examples


def test_largest_size_is_read_off_records_that_nobody_described(tmp_path):
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


def test_records_in_deeplabs_own_words(tmp_path):
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


@pytest.mark.parametrize(
    "split, num_classes, message",
    [
        ("test", None, "no split 'test'; it has: train, val"),
        ("train", 7, "num_classes=7 was asked for"),
    ],
)
def test_wrong_questions_get_one_clear_line(dataset_dir, split, num_classes, message):
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


def test_scales_out_of_order_are_refused(dataset_dir):
    with pytest.raises(ValueError, match="0 < min_scale <= max_scale"):
        train_stream(RecordReader(dataset_dir, "train"), min_scale=2.0, max_scale=1.0, **OPTIONS)
