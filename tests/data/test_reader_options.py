"""Cache, class-balanced order, tf.data service, several devices: options of the reader."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tiny_dataset import BAD_RECORDS, encode, make_pair, png, write_dataset

from adl_tf.data.description import Shard, read_dataset_description, write_dataset_description
from adl_tf.data.reader import RecordReader
from adl_tf.data.streams import evaluation_stream, train_stream

OPTIONS = dict(batch_size=2, crop_size=(17, 33), seed=7, deterministic=True)


def take(stream, batches):
    return [{k: v.numpy() for k, v in batch.items()} for batch in stream.take(batches)]


def assert_equal(left, right):
    assert len(left) == len(right)
    for a, b in zip(left, right):
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])


def test_cache_changes_nothing_but_the_time(tmp_path):
    records = [encode(i) for i in range(5)] + list(BAD_RECORDS.values())
    write_dataset(tmp_path, train=records)
    bad = len(BAD_RECORDS)
    plain = RecordReader(tmp_path, "train", max_bad_records=bad)
    cached = RecordReader(tmp_path, "train", max_bad_records=bad, cache_dir=tmp_path / "cache")
    expected = take(train_stream(plain, **OPTIONS), 8)
    assert_equal(take(train_stream(cached, **OPTIONS), 8), expected)
    assert_equal(take(evaluation_stream(cached), 9), take(evaluation_stream(plain), 9))
    assert cached.find_fault(5) == plain.find_fault(5)

    files = {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").iterdir()}
    RecordReader(tmp_path, "train", max_bad_records=bad, cache_dir=tmp_path / "cache")
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").iterdir()} == files


def test_cache_notices_new_shards(tmp_path):
    for index in (1, 2):
        write_dataset(tmp_path, val=[encode(index)])
        reader = RecordReader(tmp_path, "val", cache_dir=tmp_path / "cache")
        (batch,) = take(evaluation_stream(reader), 2)
        np.testing.assert_array_equal(batch["label"][0], make_pair(index)[1])


def write_unbalanced(directory, examples=40):
    """Class 4 is in example 0 only, every other class in all."""
    write_dataset(directory, train=[encode(i) for i in range(examples)])
    description = read_dataset_description(directory)
    split = description.splits["train"]
    shards, index = [], 0
    for shard in split.shards:
        rows = tuple("0 1 2 3 4" if index + i == 0 else "0 1 2 3" for i in range(shard.examples))
        shards.append(Shard(shard.file, shard.examples, classes=rows))
        index += shard.examples
    description.splits["train"] = type(split)(tuple(shards))
    write_dataset_description(description, directory)


def count_first(reader, epochs=10, **options):
    """How often example 0 is drawn, by its green channel."""
    scale = dict(min_scale=1.0, max_scale=1.0, scale_step=0)
    stream = train_stream(reader, **{**OPTIONS, **scale, **options})
    batches = take(stream, epochs * reader.num_examples // 2)
    return sum((batch["image"][:, 8, 9, 1] == -1).sum() for batch in batches)


def test_rare_classes_are_drawn_more_often_when_asked(tmp_path):
    write_unbalanced(tmp_path)
    reader = RecordReader(tmp_path, "train")
    assert count_first(reader) == 10
    # 400 draws, half for a class, a fifth of those for class 4.
    assert 25 < count_first(reader, class_balance=0.5) < 65


def test_balanced_stream_goes_on_bit_for_bit(tmp_path):
    write_unbalanced(tmp_path, examples=6)
    reader = RecordReader(tmp_path, "train")
    whole = take(train_stream(reader, class_balance=0.7, **OPTIONS), 9)
    rest = train_stream(reader, class_balance=0.7, start_position=10, **OPTIONS)
    assert_equal(take(rest, 4), whole[5:])


def test_balance_needs_to_know_the_classes_of_the_records(dataset_dir):
    with pytest.raises(ValueError, match="does not say which record shows which class"):
        train_stream(RecordReader(dataset_dir, "train"), class_balance=0.5, **OPTIONS)


def test_unlabelled_split_can_be_predicted_but_not_trained_on(tmp_path):
    write_dataset(tmp_path, test=[encode(0, label=b"")])
    description = read_dataset_description(tmp_path)
    description.splits["test"] = type(description.splits["test"])(
        description.splits["test"].shards, labelled=False
    )
    write_dataset_description(description, tmp_path)
    reader = RecordReader(tmp_path, "test")
    batches = take(evaluation_stream(reader), 5)
    assert len(batches) == 1 and (batches[0]["label"] == 255).all()
    with pytest.raises(ValueError, match="no label maps"):
        train_stream(reader, **OPTIONS)


def test_trainers_share_a_service(tmp_path):
    write_dataset(tmp_path, train=[encode(i) for i in range(9)] + [encode(1, image=b"")])
    service = tf.data.experimental.service
    dispatcher = service.DispatchServer()
    address = dispatcher.target.split("://")[1]
    workers = [service.WorkerServer(service.WorkerConfig(address)) for _ in range(2)]
    options = {**OPTIONS, "deterministic": False, "service": dispatcher.target}
    readers = [RecordReader(tmp_path, "train", max_bad_records=1) for _ in range(2)]
    iterators = [iter(train_stream(reader, **options)) for reader in readers]
    seen = [int(p) for _ in range(10) for it in iterators for p in next(it)["position"]]
    assert len(set(seen)) == len(seen) == 40  # No example of an epoch went to both.
    with pytest.raises(ValueError, match="cannot be had of a service"):
        train_stream(readers[0], **{**options, "deterministic": True})
    del iterators, workers


def test_two_devices_get_the_parts_of_one_batch(dataset_dir):
    """In a process of its own, since devices are divided before TensorFlow starts."""
    program = f"""
import tensorflow as tf
from adl_tf.data.reader import RecordReader
from adl_tf.data.streams import train_stream
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
stream = train_stream(RecordReader({str(dataset_dir)!r}, "train"), batch_size=4,
                      crop_size=(17, 33), seed=7, deterministic=True)
iterator = iter(strategy.experimental_distribute_dataset(stream))
for batch in stream.take(4):
    parts = strategy.experimental_local_results(next(iterator)["image"])
    assert [part.shape[0] for part in parts] == [2, 2]
    assert tf.reduce_all(tf.concat(parts, 0) == batch["image"])
"""
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)


def test_image_bytes_may_be_png_or_jpeg(tmp_path):
    image, _ = make_pair(3)
    jpeg = tf.io.encode_jpeg(image, quality=100).numpy()
    write_dataset(tmp_path, val=[encode(3, image=png(image)), encode(3, image=jpeg)])
    exact, close = take(evaluation_stream(RecordReader(tmp_path, "val")), 2)
    assert np.abs(exact["image"] - close["image"]).mean() < 0.05
