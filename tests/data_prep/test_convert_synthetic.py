import pytest
from readback import read_records

from adl_tf.data.description import read_dataset_description
from data_prep import convert_synthetic
from data_prep.errors import ConversionError


def test_built_once(tmp_path):
    assert convert_synthetic.build(tmp_path, num_train=8, num_val=2)["examples"] == {
        "train": 8,
        "val": 2,
    }
    before = {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    assert convert_synthetic.build(tmp_path, num_train=8, num_val=2) == {}
    assert {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == before


def test_streets_show_every_class_and_no_two_are_alike(tmp_path):
    convert_synthetic.build(tmp_path, num_train=8, num_val=8, height=64, width=96)
    frequencies = read_dataset_description(tmp_path).splits["train"].class_frequencies
    assert len(frequencies) == 8 and min(frequencies) > 0.002 and max(frequencies) < 0.5
    records = read_records(tmp_path, "train") + read_records(tmp_path, "val")
    assert len({record["bytes"] for record in records}) == 16
    for record in records:
        assert record["image"].shape == (64, 96, 3) and record["label"].max() < 8


def test_too_small_is_refused():
    with pytest.raises(ConversionError, match="32x32 or larger"):
        convert_synthetic.plan(height=8)
