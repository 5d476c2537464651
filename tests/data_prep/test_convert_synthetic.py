import forked
import pytest
from readback import read_records

from adl_tf.data.description import read_dataset_description
from data_prep import convert_synthetic
from data_prep.errors import ConversionError
from data_prep.scenes import SCENES


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


def test_each_scene_has_its_classes_and_size(tmp_path):
    for scene, (classes, size, _) in SCENES.items():
        convert_synthetic.build(tmp_path / scene, scene=scene, num_train=2, num_val=1)
        description = read_dataset_description(tmp_path / scene)
        assert description.class_names == tuple(classes)
        (record,) = read_records(tmp_path / scene, "val")
        assert record["image"].shape == (*size, 3)


def test_the_scene_is_a_flag(tmp_path):
    arguments = ["--scene=lines", f"--output_dir={tmp_path}", "--num_train=2", "--num_val=1"]
    outcome = forked.run(
        "data_prep.convert_synthetic", [*arguments, "--height=40", "--num_workers=1"]
    )
    assert outcome.status == 0, outcome.stderr
    for record in read_records(tmp_path, "train"):
        assert record["image"].shape == (40, 129, 3) and record["label"].max() == 3


def test_an_unknown_scene_is_refused():
    with pytest.raises(ConversionError, match="'rain' is unknown; choose from street, lines"):
        convert_synthetic.plan(scene="rain")


def test_too_small_is_refused():
    with pytest.raises(ConversionError, match="32x32 or larger"):
        convert_synthetic.plan(height=8)
