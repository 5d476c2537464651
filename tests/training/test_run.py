"""What the programs check and stream around `fit`."""

import pytest
import tensorflow as tf

from adl_tf.data.description import DESCRIPTION_FILE, read_dataset_description
from adl_tf.data.reader import RecordReader
from adl_tf.training.run import check_devices, crop_sides, require_positive, validation_stream
from data_prep import convert_synthetic


def test_crop_sides():
    assert crop_sides(97) == (97, 97) and crop_sides([33, 65]) == (33, 65)
    for wrong in (97.0, "97", (33,), (33, 65.0), 0, None):
        with pytest.raises(ValueError, match="is no size of a crop"):
            crop_sides(wrong)


def test_numbers_that_count_something():
    require_positive(steps=1, validate_every=None)
    for wrong in (0, -2, 1.5):
        with pytest.raises(ValueError, match=f"steps = {wrong}: it must be a whole number"):
            require_positive(batch_size=2, steps=wrong)


def test_devices_need_equal_shares_and_no_xla(two_devices):
    one = tf.distribute.get_strategy()
    check_devices(one, 3, jit_compile=True)
    check_devices(two_devices, 8, parts=2)
    with pytest.raises(ValueError, match=r"equally \(2 devices, 1 acc.* a multiple of 2"):
        check_devices(two_devices, 3)
    with pytest.raises(ValueError, match=r"equally \(2 devices, 2 acc.* a multiple of 4"):
        check_devices(two_devices, 6, parts=2)
    with pytest.raises(ValueError, match="jit_compile cannot be combined"):
        check_devices(two_devices, 2, jit_compile=True)


@pytest.mark.parametrize("described", [True, False])
def test_validation_on_two_devices_takes_the_images_asked_for(tmp_path, described):
    """Both of one known size, and one by one where the records do not say theirs."""
    convert_synthetic.build(tmp_path, num_train=1, num_val=5, height=32, width=48)
    reader = RecordReader(tmp_path, "val")
    if not described:
        reader.largest_size = None
    batches = list(validation_stream(reader, limit=3, replicas=2))
    assert [batch["image"].shape for batch in batches] == [(2, 32, 48, 3)] * (2 if described else 3)


def test_records_of_others_are_scored_at_one_size(tmp_path):
    convert_synthetic.build(tmp_path, num_train=1, num_val=2, height=32, width=48)
    classes = read_dataset_description(tmp_path).num_classes
    (tmp_path / DESCRIPTION_FILE).unlink()
    stream = validation_stream(RecordReader(tmp_path, "val", classes))
    assert stream.element_spec["image"].shape == (1, 32, 48, 3)
    assert len(list(stream)) == 2
