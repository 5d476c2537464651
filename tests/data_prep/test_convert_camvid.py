import numpy as np
import pytest
from PIL import Image
from readback import labels_by_name, read_records

from adl_tf.data.description import read_dataset_description
from data_prep import convert_camvid
from data_prep.errors import ConversionError
from data_prep.run import run_conversion


def make_archive(path, splits=("train", "val")):
    """Image names and sizes as in CamVid; label k of each row is the row's number."""
    names = {
        "train": ["0001TP_006690", "0016E5_00390"],
        "val": ["0016E5_07959"],
        "test": ["Seq05VD_f00000"],
    }
    for split in splits:
        (path / split).mkdir(parents=True)
        (path / f"{split}annot").mkdir()
        for name in names[split]:
            label = np.repeat(np.arange(12, dtype=np.uint8)[:, None], 48, 1).repeat(3, 0)
            Image.fromarray(np.stack([label * 9] * 3, -1)).save(path / split / f"{name}.jpg")
            Image.fromarray(label).save(path / f"{split}annot" / f"{name}.png")
    return str(path)


def test_conversion(tmp_path):
    archive = make_archive(tmp_path / "camvid")
    summary = run_conversion(convert_camvid.plan(archive), str(tmp_path / "out"))
    assert summary["examples"] == {"train": 2, "val": 1}
    labels = labels_by_name(tmp_path / "out", "train")
    assert set(labels) == {"0001TP_006690", "0016E5_00390"}
    for label in labels.values():
        np.testing.assert_array_equal(label[::3, 0], [*range(11), 255])
    description = read_dataset_description(tmp_path / "out")
    assert description.class_names[:4] == ("sky", "building", "pole", "road")
    assert description.colors[3] == (128, 64, 128)
    assert description.splits["val"].class_pixels == (3 * 48,) * 11


def test_test_split_is_converted_if_there_is_one(tmp_path):
    archive = make_archive(tmp_path / "camvid", ("train", "val", "test"))
    run_conversion(convert_camvid.plan(archive), str(tmp_path / "out"))
    assert [r["name"] for r in read_records(tmp_path / "out", "test")] == ["Seq05VD_f00000"]


def test_split_by_sequence(tmp_path):
    archive = make_archive(tmp_path / "camvid")
    conversion = convert_camvid.plan(archive, val_sequence="0001TP")
    summary = run_conversion(conversion, str(tmp_path / "out"))
    assert summary["examples"] == {"train": 1, "val": 1}
    # Nothing of the usual val split is left.
    assert [r["name"] for r in read_records(tmp_path / "out", "train")] == ["0016E5_00390"]
    assert labels_by_name(tmp_path / "out", "val")["0001TP_006690"].shape == (36, 48)
    with pytest.raises(ConversionError, match="'0002XX': .* sequences 0001TP, 0016E5; choose"):
        convert_camvid.plan(archive, val_sequence="0002XX")


def test_sequences_as_splits(tmp_path):
    archive = make_archive(tmp_path / "camvid")
    conversion = convert_camvid.plan(archive, sequence_splits=True)
    summary = run_conversion(conversion, str(tmp_path / "out"))
    assert summary["examples"] == {"train": 2, "val": 1, "0001TP": 1, "0016E5": 1}
    assert [r["name"] for r in read_records(tmp_path / "out", "0001TP")] == ["0001TP_006690"]


def test_missing_and_empty_folders_are_named(tmp_path):
    with pytest.raises(ConversionError, match="camvid/train: no such directory"):
        convert_camvid.plan(str(tmp_path / "camvid"))
    make_archive(tmp_path / "camvid", ("train",))
    (tmp_path / "camvid" / "val").mkdir()
    with pytest.raises(ConversionError, match=r"camvid/val: no \.png or \.jpg files there"):
        convert_camvid.plan(str(tmp_path / "camvid"))
