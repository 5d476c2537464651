import numpy as np
import pytest
from PIL import Image

from adl_tf.data.description import DatasetDescription, default_colors
from adl_tf.evaluation.prediction_writer import PredictionWriter

COLORS = ((1, 2, 3), (40, 50, 60), (255, 0, 7))


def describe(official_ids=()):
    return DatasetDescription("toy", ("a", "b", "c"), COLORS, {}, official_ids=official_ids)


@pytest.mark.parametrize("official_ids", [(), (7, 200, 0)])
def test_pixels_are_official_ids_and_colors_those_of_the_classes(tmp_path, official_ids):
    prediction = np.random.default_rng(0).integers(3, size=(5, 8), dtype=np.int32)
    writer = PredictionWriter(str(tmp_path / "new" / "folder"), describe(official_ids))
    path = writer.write("2007_000033", prediction)
    assert path == str(tmp_path / "new" / "folder" / "2007_000033.png")
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("PNG", "P")
        np.testing.assert_array_equal(
            np.array(image), np.array(official_ids or range(3))[prediction]
        )
        np.testing.assert_array_equal(np.array(image.convert("RGB")), np.array(COLORS)[prediction])


def test_palette_of_voc_is_that_of_its_files(tmp_path):
    description = DatasetDescription("voc", ("x",) * 21, default_colors(21), {})
    path = PredictionWriter(str(tmp_path), description).write("a", np.array([[15, 0]]))
    with Image.open(path) as image:
        # Person and background, as in SegmentationClass/*.png.
        assert image.getpalette()[45:48] == [192, 128, 128] and image.getpalette()[:3] == [0] * 3


@pytest.mark.parametrize(
    "name, file",
    [
        ("ADE_val_00000001", "ADE_val_00000001.png"),
        ("folder/2007_000033.jpg", "2007_000033.png"),
        ("aachen_000000_000019_leftImg8bit.PNG", "aachen_000000_000019_leftImg8bit.png"),
        ("frame.0001", "frame.0001.png"),
        ("../../up", "up.png"),
    ],
)
def test_names(tmp_path, name, file):
    PredictionWriter(str(tmp_path), describe()).write(name, np.zeros((1, 1), int))
    assert [path.name for path in tmp_path.iterdir()] == [file]


def test_names_must_be_there_and_differ(tmp_path):
    writer = PredictionWriter(str(tmp_path), describe())
    writer.write("a/same.png", np.zeros((1, 1), int))
    with pytest.raises(ValueError, match="'b/same.jpg': its name is taken"):
        writer.write("b/same.jpg", np.zeros((1, 1), int))
    with pytest.raises(ValueError, match="it has no name"):
        writer.write("", np.zeros((1, 1), int))


def test_a_file_in_place_of_the_directory_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="file: cannot create this directory"):
        PredictionWriter(str(tmp_path / "file"), describe())
