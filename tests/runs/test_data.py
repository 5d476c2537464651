"""The images of a run: checks, streams, what a resumed run must not change."""

import numpy as np
import pytest
from PIL import Image

from adl_tf.data.description import DESCRIPTION_FILE, read_dataset_description
from adl_tf.data.reader import RecordReader
from adl_tf.data.shard import Shard
from adl_tf.runs.data import RunData, validation_stream
from data_prep import convert_camvid, convert_synthetic
from data_prep.run import run_conversion


@pytest.mark.parametrize("described", [True, False])
def test_replicas_get_equally_many_images(tmp_path, described):
    """Ignored ones fill up what is missing, of one known size or of any."""
    convert_synthetic.build(tmp_path, num_train=1, num_val=5, height=32, width=48)
    num_classes = read_dataset_description(tmp_path).num_classes
    if not described:
        (tmp_path / DESCRIPTION_FILE).unlink()
    reader = RecordReader(tmp_path, "val", num_classes)
    shards = [Shard(index, 2, 2) for index in range(2)]
    for limit, real in ((3, [2, 1]), (None, [3, 2])):
        streams = [list(validation_stream(reader, limit, shard)) for shard in shards]
        assert {len(stream) for stream in streams} == {2 if limit else 4}
        for stream, count in zip(streams, real):
            labelled = [batch for batch in stream if (batch["label"].numpy() < 255).any()]
            assert [batch["image"].shape for batch in labelled] == [(1, 32, 48, 3)] * count
    assert len(list(validation_stream(reader, 3))) == 3


def test_foreign_records_are_padded_to_one_size(tmp_path):
    convert_synthetic.build(tmp_path, num_train=1, num_val=2, height=32, width=48)
    classes = read_dataset_description(tmp_path).num_classes
    (tmp_path / DESCRIPTION_FILE).unlink()
    stream = validation_stream(RecordReader(tmp_path, "val", classes), padded=True)
    assert stream.element_spec["image"].shape == (1, 32, 48, 3)
    assert len(list(stream)) == 2


def test_shuffled_labels_belong_to_other_images(tmp_path):
    convert_synthetic.build(tmp_path, num_train=4, num_val=1, height=40, width=40)

    def batch(**options):
        data = RunData(str(tmp_path), 33, 4, deterministic=True, **options)
        return next(iter(data.training_stream(0))), data.schedule(1)

    (plain, schedule), (shuffled, control) = batch(), batch(shuffled_labels=True)
    np.testing.assert_array_equal(plain["image"], shuffled["image"])
    for index in range(4):
        np.testing.assert_array_equal(plain["label"][index - 1], shuffled["label"][index])
    assert len({label.numpy().tobytes() for label in plain["label"]}) == 4
    assert schedule != control
    with pytest.raises(ValueError, match="needs a batch_size of 2"):
        RunData(str(tmp_path), 33, 1, shuffled_labels=True)


def test_the_halves_of_a_search_are_all_of_its_images(tmp_path):
    """Each image has a gray of its own, by which it is found again."""
    for split, grays in (("train", (10, 20, 30, 40)), ("val", (200, 210))):
        for folder in (split, f"{split}annot"):
            (tmp_path / "camvid" / folder).mkdir(parents=True)
        for gray in grays:
            image = Image.new("RGB", (40, 40), (gray, gray, gray))
            image.save(tmp_path / "camvid" / split / f"image_{gray}.png")
            label = Image.new("L", (40, 40), 3)
            label.save(tmp_path / "camvid" / f"{split}annot" / f"image_{gray}.png")
    run_conversion(convert_camvid.plan(str(tmp_path / "camvid")), str(tmp_path / "records"))

    def grays(subset):
        data = RunData(str(tmp_path / "records"), 33, 2, deterministic=True)
        batches = list(data.training_stream(0, subset).take(data.steps_per_pass(subset)))
        # Where there is a label there is no padding.
        return {
            round((np.median(image[label == 3]) + 1) * 127.5)
            for batch in batches
            for image, label in zip(batch["image"].numpy(), batch["label"].numpy())
        }

    first, second = grays("A"), grays("B")
    assert len(first) == len(second) == 2 and first | second == {10, 20, 30, 40}


def test_weights_of_classes_by_power(tmp_path):
    directory = str(tmp_path / "streets")
    convert_synthetic.build(directory, num_train=4, num_val=1, height=32, width=48)

    def weights(power):
        return RunData(
            directory, crop_size=33, batch_size=2, class_weight_power=power
        ).class_weights()

    assert weights(1.0).max() > 2
    np.testing.assert_allclose(weights(0.5), np.sqrt(weights(1.0)), rtol=1e-6)
    np.testing.assert_array_equal(weights(0.0), 1)
