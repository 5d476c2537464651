import dataclasses

import numpy as np
import pytest
from PIL import Image
from readback import labels_by_name, read_records

from adl_tf.data.description import read_dataset_description
from data_prep import convert_cityscapes
from data_prep.errors import ConversionError
from data_prep.run import run_conversion

NAMES = {
    "train": ["aachen/aachen_000000_000019", "zurich/zurich_000121_000019"],
    "val": ["frankfurt/frankfurt_000001_083852"],
    "test": ["berlin/berlin_000000_000019"],
    "train_extra": ["troisdorf/troisdorf_000000_000073"],
}
# The train id of each label id 0..33, as the data set's own scripts list them.
TRAIN_IDS = (
    [255] * 7
    + [0, 1, 255, 255, 2, 3, 4, 255, 255, 255, 5, 255, 6, 7, 8, 9, 10, 11, 12, 13, 14]
    + [15, 255, 255, 16, 17, 18]
)


def every_id(height, width, ids=34):
    return (np.arange(height * width) // 2 % ids).astype(np.uint8).reshape(height, width)


@pytest.fixture
def archive(tmp_path):
    """As leftImg8bit_trainvaltest.zip, gtFine_trainvaltest.zip and the coarse ones unpack."""
    root = tmp_path / "cityscapes"
    for split, names in NAMES.items():
        kind = "gtCoarse" if split == "train_extra" else "gtFine"
        for name in names:
            image = root / "leftImg8bit" / split / f"{name}_leftImg8bit.png"
            label = root / kind / split / f"{name}_{kind}_labelIds.png"
            for path in (image, label):
                path.parent.mkdir(parents=True, exist_ok=True)
            ids = every_id(32, 64)
            Image.fromarray(np.stack([ids, 255 - ids, ids * 3], -1)).save(image)
            Image.fromarray(ids).save(label)
            for other in ("color.png", "instanceIds.png", "polygons.json"):
                (label.parent / label.name.replace("labelIds.png", other)).write_text("unused")
    (root / "README").write_text("")
    (root / "license.txt").write_text("")
    return root


def convert(archive, output, max_errors=0, short_side=0):
    plan = dataclasses.replace(convert_cityscapes.plan(str(archive)), short_side=short_side)
    return run_conversion(plan, str(output), max_errors=max_errors)


def test_label_ids_become_train_ids(archive, tmp_path):
    summary = convert(archive, tmp_path / "out")
    assert summary["examples"] == {"train": 2, "val": 1, "test": 1, "train_extra": 1}
    labels = labels_by_name(tmp_path / "out", "train")
    assert list(labels) == ["aachen_000000_000019", "zurich_000121_000019"]
    expected = np.array(TRAIN_IDS, np.uint8)[every_id(32, 64)]
    for label in (*labels.values(), *labels_by_name(tmp_path / "out", "train_extra").values()):
        np.testing.assert_array_equal(label, expected)
    image = (
        archive / "leftImg8bit/val/frankfurt/frankfurt_000001_083852_leftImg8bit.png"
    ).read_bytes()
    assert read_records(tmp_path / "out", "val")[0]["bytes"] == image


def test_description(archive, tmp_path):
    convert(archive, tmp_path / "out")
    description = read_dataset_description(tmp_path / "out")
    assert description.num_classes == 19
    assert description.class_names[0] == "road" and description.class_names[18] == "bicycle"
    assert description.colors[13] == (0, 0, 142)
    assert [TRAIN_IDS[label] for label in description.official_ids] == list(range(19))
    assert description.splits["train"].max_size == (32, 64)


def test_test_split_has_no_labels(archive, tmp_path):
    convert(archive, tmp_path / "out")
    assert not read_dataset_description(tmp_path / "out").splits["test"].labelled
    assert labels_by_name(tmp_path / "out", "test") == {"berlin_000000_000019": None}


def test_existing_train_ids_are_used(archive, tmp_path):
    stem = "gtFine/train/aachen/aachen_000000_000019_gtFine_label"
    (archive / f"{stem}Ids.png").unlink()
    ids = np.where(every_id(32, 64, 20) == 19, 255, every_id(32, 64, 20)).astype(np.uint8)
    Image.fromarray(ids).save(archive / f"{stem}TrainIds.png")
    convert(archive, tmp_path / "out")
    label = labels_by_name(tmp_path / "out", "train")["aachen_000000_000019"]
    np.testing.assert_array_equal(label, ids)


def test_half_resolution(archive, tmp_path):
    convert(archive, tmp_path / "out", short_side=16)
    (record, _) = read_records(tmp_path / "out", "train")
    full = np.array(TRAIN_IDS, np.uint8)[every_id(32, 64)]
    corners = [full[y::2, x::2] for y in (0, 1) for x in (0, 1)]
    assert any(np.array_equal(record["label"], corner) for corner in corners)
    path = archive / "leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png"
    image = np.array(Image.open(path)).astype(float)
    mean = image.reshape(16, 2, 32, 2, 3).mean((1, 3))
    np.testing.assert_allclose(record["image"], mean, atol=0.51)


def test_bad_examples_are_named(archive, tmp_path, capsys):
    label = archive / "gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png"
    ids = every_id(32, 64)
    ids[0, 0] = 34
    Image.fromarray(ids).save(label)
    (archive / "gtFine/train/zurich/zurich_000121_000019_gtFine_labelIds.png").unlink()
    image = archive / "leftImg8bit/val/frankfurt/frankfurt_000001_083852_leftImg8bit.png"
    image.write_bytes(image.read_bytes()[:100])
    summary = convert(archive, tmp_path / "out", max_errors=3)
    assert summary["skipped"] == 3 and summary["examples"]["train"] == 0
    errors = capsys.readouterr().err
    assert f"{label}: unknown label id 34 in 1 pixels; the data set's own ids are 0..33." in errors
    assert "zurich_000121_000019_gtFine_labelIds.png: the label is missing" in errors
    assert f"{image}: does not decode" in errors


@pytest.mark.parametrize("short_side", [0, 16])
def test_size_mismatch_is_named(archive, tmp_path, short_side):
    label = archive / "gtFine/train/aachen/aachen_000000_000019_gtFine_labelIds.png"
    Image.fromarray(every_id(32, 60)).save(label)
    with pytest.raises(ConversionError, match="the label is 32x60, the image 32x64"):
        convert(archive, tmp_path / "out", short_side=short_side)


def test_missing_archive_is_named(archive):
    (archive / "leftImg8bit/val").rename(archive / "elsewhere")
    with pytest.raises(ConversionError, match="leftImg8bit/val: no CITY/"):
        convert_cityscapes.plan(str(archive))
