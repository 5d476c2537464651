import dataclasses

import numpy as np
import pytest
from PIL import Image
from readback import labels_by_name, read_records

from adl_tf.data.description import read_dataset_description
from data_prep import convert_ade20k
from data_prep.errors import ConversionError
from data_prep.run import run_conversion

NAMES = {
    "training": ["ADE_train_00000001", "ADE_train_00000002"],
    "validation": ["ADE_val_00000001"],
}


def raw_label():
    return (np.arange(60 * 90) // 7 % 151).astype(np.uint8).reshape(60, 90)


@pytest.fixture
def archive(tmp_path):
    root = tmp_path / "in" / "ADEChallengeData2016"
    for split, names in NAMES.items():
        for kind in ("images", "annotations"):
            (root / kind / split).mkdir(parents=True)
        for name in names:
            Image.new("RGB", (90, 60), (5, 6, 7)).save(root / "images" / split / f"{name}.jpg")
            Image.fromarray(raw_label()).save(root / "annotations" / split / f"{name}.png")
    rows = ["Idx\tRatio\tTrain\tVal\tStuff\tName"]
    rows += [f"{i}\t0.1\t11664\t1172\t1\tthing{i}, synonym{i}" for i in range(1, 151)]
    (root / "objectInfo150.txt").write_text("\n".join(rows) + "\n")
    (root / "sceneCategories.txt").write_text("ADE_train_00000001 airport_terminal\n")
    return tmp_path / "in"


def convert(archive, output, max_errors=0, short_side=0):
    plan = dataclasses.replace(convert_ade20k.plan(str(archive)), short_side=short_side)
    return run_conversion(plan, str(output), max_errors=max_errors)


def test_labels_are_shifted_and_other_is_ignored(archive, tmp_path):
    assert convert(archive, tmp_path / "out")["examples"] == {"train": 2, "val": 1}
    raw = raw_label()
    expected = np.where(raw == 0, 255, raw.astype(int) - 1)
    for split in ("train", "val"):
        for label in labels_by_name(tmp_path / "out", split).values():
            np.testing.assert_array_equal(label, expected)
    description = read_dataset_description(tmp_path / "out")
    assert description.num_classes == 150
    assert description.class_names[0] == "thing1" and description.class_names[149] == "thing150"
    assert len(set(description.colors)) == 150
    assert description.official_ids == tuple(range(1, 151))


@pytest.mark.parametrize("short_side, size", [(30, (30, 45)), (60, (60, 90)), (99, (60, 90))])
def test_short_side_is_shrunk_and_never_stretched(archive, tmp_path, short_side, size):
    convert(archive, tmp_path / "out", short_side=short_side)
    for record in read_records(tmp_path / "out", "train"):
        assert record["image"].shape == (*size, 3) and record["label"].shape == size
        assert record["format"] == ("png" if size == (30, 45) else "jpeg")
        assert set(np.unique(record["label"])) <= {*range(150), 255}


def test_unknown_id_is_named(archive, tmp_path):
    path = archive / "ADEChallengeData2016/annotations/validation/ADE_val_00000001.png"
    Image.new("L", (90, 60), 151).save(path)
    with pytest.raises(ConversionError, match="unknown label id 151 in 5400 pixels"):
        convert(archive, tmp_path / "out")


def test_table_of_classes_is_checked(archive):
    path = archive / "ADEChallengeData2016" / "objectInfo150.txt"
    path.write_text("<html>")
    with pytest.raises(ConversionError, match="not the tab-separated table of 150 classes"):
        convert_ade20k.plan(str(archive))
    path.unlink()
    with pytest.raises(ConversionError, match=r"objectInfo150\.txt: missing"):
        convert_ade20k.plan(str(archive))
