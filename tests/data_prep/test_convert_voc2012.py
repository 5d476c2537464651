import numpy as np
import pytest
import scipy.io
from PIL import Image
from readback import labels_by_name

from adl_tf.data.description import default_colors, read_dataset_description
from data_prep import convert_voc2012
from data_prep.errors import ConversionError
from data_prep.run import run_conversion


def voc_label(seed):
    """Class ids with the border label around them."""
    label = np.random.RandomState(seed).randint(0, 21, (30, 40)).astype(np.uint8)
    label[:3] = 255
    return label


def save_palette(label, path):
    image = Image.fromarray(label, "P")
    image.putpalette([value for color in default_colors(256) for value in color])
    image.save(path)


def save_mat(label, path):
    """The structure of SBD's files."""
    content = {
        "Boundaries": np.zeros((20, 1), object),
        "Segmentation": label,
        "CategoriesPresent": np.unique(label)[:, None],
    }
    scipy.io.savemat(path, {"GTcls": content})


@pytest.fixture
def archive(tmp_path):
    voc = tmp_path / "in" / "VOCdevkit" / "VOC2012"
    sbd = tmp_path / "in" / "benchmark_RELEASE" / "dataset"
    folders = [voc / "JPEGImages", voc / "SegmentationClass", voc / "ImageSets" / "Segmentation"]
    for folder in (*folders, sbd / "cls", sbd / "img"):
        folder.mkdir(parents=True)
    names = [f"2007_{i:06d}" for i in range(6)]
    for index, name in enumerate(names):
        Image.new("RGB", (40, 30), (index, 9, 9)).save(voc / "JPEGImages" / f"{name}.jpg")
    for index in (0, 1, 2):
        save_palette(voc_label(index), voc / "SegmentationClass" / f"{names[index]}.png")
    for index in (1, 2, 3, 4):  # SBD has some images of VOC's train and val too.
        save_mat(voc_label(index + 10) % 21, sbd / "cls" / f"{names[index]}.mat")
    lists = voc / "ImageSets" / "Segmentation"
    (lists / "train.txt").write_text("2007_000000\n2007_000001\n")
    (lists / "val.txt").write_text("2007_000002\n")
    (sbd / "train.txt").write_text("2007_000001\n2007_000003\n")
    (sbd / "val.txt").write_text("2007_000002\n2007_000004\n")
    return tmp_path / "in"


def convert(archive, output, **options):
    return run_conversion(convert_voc2012.plan(str(archive)), str(output), **options)


def test_palette_and_border(archive, tmp_path):
    assert convert(archive, tmp_path / "out")["examples"] == {"train": 2, "val": 1, "trainaug": 4}
    for split, indices in (("train", (0, 1)), ("val", (2,))):
        labels = labels_by_name(tmp_path / "out", split)
        assert list(labels) == [f"2007_{i:06d}" for i in indices]
        for index in indices:
            np.testing.assert_array_equal(labels[f"2007_{index:06d}"], voc_label(index))


def test_trainaug_is_both_without_val_and_prefers_voc(archive, tmp_path):
    convert(archive, tmp_path / "out")
    labels = labels_by_name(tmp_path / "out", "trainaug")
    assert sorted(labels) == [f"2007_{i:06d}" for i in (0, 1, 3, 4)]
    for index in (0, 1):
        np.testing.assert_array_equal(labels[f"2007_{index:06d}"], voc_label(index))
    for index in (3, 4):
        np.testing.assert_array_equal(labels[f"2007_{index:06d}"], voc_label(index + 10) % 21)


def test_description(archive, tmp_path):
    convert(archive, tmp_path / "out")
    description = read_dataset_description(tmp_path / "out")
    assert description.class_names[0] == "background" and description.class_names[20] == "tvmonitor"
    assert description.colors[15] == (192, 128, 128)
    assert description.splits["val"].ignored_pixels == 3 * 40


def test_without_sbd_and_with_test(archive, tmp_path):
    (archive / "benchmark_RELEASE").rename(tmp_path / "elsewhere")
    lists = archive / "VOCdevkit/VOC2012/ImageSets/Segmentation"
    (lists / "test.txt").write_text("2007_000005\n")
    summary = convert(archive, tmp_path / "out")
    assert summary["examples"] == {"train": 2, "val": 1, "test": 1}
    assert labels_by_name(tmp_path / "out", "test") == {"2007_000005": None}


def test_bad_examples_are_named(archive, tmp_path, capsys):
    cls = archive / "benchmark_RELEASE/dataset/cls"
    (cls / "2007_000003.mat").write_bytes((cls / "2007_000003.mat").read_bytes()[:150])
    scipy.io.savemat(cls / "2007_000004.mat", {"something": 1})
    (archive / "VOCdevkit/VOC2012/JPEGImages/2007_000002.jpg").unlink()
    voc = archive / "VOCdevkit/VOC2012/SegmentationClass"
    save_palette(np.full((30, 40), 21, np.uint8), voc / "2007_000000.png")
    # The last one is both in train and in trainaug.
    assert convert(archive, tmp_path / "out", max_errors=5)["skipped"] == 5
    errors = capsys.readouterr().err
    assert "2007_000003.mat: not a label map of SBD (" in errors
    assert "And 1 more of this kind, such as" in errors and "cls/2007_000004.mat" in errors
    assert "2007_000002.jpg: the image is missing" in errors
    assert "2007_000000.png: unknown label id 21 in 1200 pixels" in errors


def test_missing_archive_is_named(tmp_path):
    with pytest.raises(ConversionError, match=r"Segmentation/train\.txt: this list of images"):
        convert_voc2012.plan(str(tmp_path))
