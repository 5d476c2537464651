import numpy as np
import pytest
from readback import read_records

from adl_tf.data.description import read_dataset_description
from data_prep import convert_synthetic, core


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


def test_seed_decides_everything():
    def draw(seed):
        return convert_synthetic.draw_street(np.random.default_rng(seed), 48, 64)

    np.testing.assert_array_equal(draw(1)[0], draw(1)[0])
    assert not np.array_equal(draw(1)[1], draw(2)[1])


def test_sky_is_bluer_than_road():
    """The pictures can be learned from: classes differ in color and place."""
    image, label = convert_synthetic.draw_street(np.random.default_rng(0), 128, 256)
    sky, road = (image[label == i].astype(float) for i in (0, 2))
    assert (sky[:, 2] - sky[:, 0]).mean() > 20 + (road[:, 2] - road[:, 0]).mean()
    assert np.nonzero(label == 0)[0].mean() < np.nonzero(label == 2)[0].mean()


def test_too_small_is_refused():
    with pytest.raises(core.ConversionError, match="32x32 or larger"):
        convert_synthetic.plan(height=8)
