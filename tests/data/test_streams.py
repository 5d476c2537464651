import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from batches import OPTIONS, assert_equal, positions, take
from tiny_dataset import NUM_CLASSES, encode, make_pair, png, write_dataset

from adl_tf.data.description import read_dataset_description, write_dataset_description
from adl_tf.data.reader import RecordReader
from adl_tf.data.streams import evaluation_stream, train_stream


def test_batches_have_the_documented_shapes_and_ranges(dataset_dir):
    stream = train_stream(RecordReader(dataset_dir, "train"), **OPTIONS)
    assert stream.cardinality() == tf.data.INFINITE_CARDINALITY
    assert stream.element_spec["image"].shape == (2, 17, 33, 3)
    for batch in take(stream, 8):
        assert batch["image"].dtype == np.float32 and batch["label"].dtype == np.int32
        assert batch["label"].shape == (2, 17, 33) and batch["position"].shape == (2,)
        assert batch["image"].min() >= -1 and batch["image"].max() <= 1
        assert set(np.unique(batch["label"])) <= {*range(NUM_CLASSES), 255}


@pytest.mark.parametrize("subset", [None, "A"])
@pytest.mark.parametrize("batches", [1, 4, 9])  # The last beyond the first epoch.
def test_stream_resumes_bit_for_bit(dataset_dir, subset, batches):
    reader = RecordReader(dataset_dir, "train")
    whole = take(train_stream(reader, subset=subset, **OPTIONS), batches + 6)
    start = positions(whole[:batches])[-1] + 1
    rest = take(train_stream(reader, subset=subset, start_position=start, **OPTIONS), 6)
    assert_equal(rest, whole[batches:])


def test_skipped_examples_are_not_read(dataset_dir):
    reader = RecordReader(dataset_dir, "train")
    stream = train_stream(reader, start_position=10**12, **OPTIONS)
    assert positions(take(stream, 1)) == [10**12, 10**12 + 1]


def test_loose_order_drops_and_repeats_nothing(dataset_dir):
    """A slow image may let others pass, but it comes."""
    reader = RecordReader(dataset_dir, "train")
    exact = set(positions(take(train_stream(reader, **OPTIONS), 5)))
    seen = []
    # On a busy machine a thread may sleep while the others read hundreds of batches.
    for batch in train_stream(reader, **{**OPTIONS, "deterministic": False}).take(5000):
        seen += batch["position"].numpy().tolist()
        if exact <= set(seen):
            break
    assert exact <= set(seen)
    assert len(set(seen)) == len(seen)


def test_crop_larger_than_the_image(dataset_dir):
    stream = train_stream(RecordReader(dataset_dir, "train"), **{**OPTIONS, "crop_size": (97, 129)})
    for batch in take(stream, 2):
        padded = batch["label"] == 255
        assert padded.any() and not padded.all()
        assert (batch["image"][:, 0, 0] == 0).all() or not padded[:, 0, 0].all()


def test_scales_out_of_order_are_refused(dataset_dir):
    with pytest.raises(ValueError, match="0 < min_scale <= max_scale"):
        train_stream(RecordReader(dataset_dir, "train"), min_scale=2.0, max_scale=1.0, **OPTIONS)


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


def test_image_bytes_may_be_png_or_jpeg(tmp_path):
    image, _ = make_pair(3)
    jpeg = tf.io.encode_jpeg(image, quality=100).numpy()
    write_dataset(tmp_path, val=[encode(3, image=png(image)), encode(3, image=jpeg)])
    exact, close = take(evaluation_stream(RecordReader(tmp_path, "val")), 2)
    assert np.abs(exact["image"] - close["image"]).mean() < 0.05


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
    with pytest.raises(ValueError, match="not supported with a service"):
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
