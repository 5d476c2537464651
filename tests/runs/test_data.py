"""The images of a run: checks, streams, what a resumed run must not change."""

import numpy as np
import pytest

from adl_tf.data.description import DESCRIPTION_FILE, read_dataset_description
from adl_tf.data.reader import RecordReader
from adl_tf.runs.checks import require_positive
from adl_tf.runs.data import RunData, validation_stream
from data_prep import convert_synthetic


def test_numbers_that_count_something():
    require_positive(steps=1, validate_every=None)
    for wrong in (0, -2, 1.5):
        with pytest.raises(ValueError, match=f"steps = {wrong}: it must be a positive integer"):
            require_positive(batch_size=2, steps=wrong)


@pytest.mark.parametrize("described", [True, False])
def test_validation_on_two_devices_takes_the_requested_images(tmp_path, described):
    """Both of one known size, and one by one where the records do not say theirs."""
    convert_synthetic.build(tmp_path, num_train=1, num_val=5, height=32, width=48)
    reader = RecordReader(tmp_path, "val")
    if not described:
        reader.largest_size = None
    batches = list(validation_stream(reader, limit=3, replicas=2))
    assert [batch["image"].shape for batch in batches] == [(2, 32, 48, 3)] * (2 if described else 3)


def test_foreign_records_are_scored_at_one_size(tmp_path):
    convert_synthetic.build(tmp_path, num_train=1, num_val=2, height=32, width=48)
    classes = read_dataset_description(tmp_path).num_classes
    (tmp_path / DESCRIPTION_FILE).unlink()
    stream = validation_stream(RecordReader(tmp_path, "val", classes))
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
