"""Classes that are proposed from what masks hold."""

import json

import numpy as np
import pytest
from PIL import Image

from data_prep import convert_folder
from data_prep.errors import ConversionError
from data_prep.run import run_conversion
from data_prep.survey import PROPOSAL_FILE, are_binary


def make_folder(root, masks, classes=None):
    """A folder of images with these masks: pictures, or labels of polygons."""
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True)
    for index, mask in enumerate(masks):
        if isinstance(mask, list):
            Image.new("RGB", (8, 6)).save(root / f"images/{index}.jpg")
            shapes = [{"label": label, "points": [[0, 0], [5, 0], [5, 5]]} for label in mask]
            content = {"imageHeight": 6, "imageWidth": 8, "shapes": shapes}
            (root / f"masks/{index}.json").write_text(json.dumps(content))
        else:
            Image.new("RGB", mask.size).save(root / f"images/{index}.jpg")
            mask.save(root / f"masks/{index}.png")
    if classes:
        (root / "classes.txt").write_text(classes)
    return root


def gray(*values):
    return Image.fromarray(np.array([values], np.uint8))


def rgb(*colors):
    return Image.fromarray(np.array([colors], np.uint8))


RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.mark.parametrize(
    "masks, proposed, option",
    [
        ([gray(0, 1), gray(2, 255)], "class_0\nclass_1\nclass_2\n", None),
        ([gray(0, 2)], "class_0\nclass_1\nclass_2\n", None),
        ([gray(0, 255), gray(0, 0)], "background\nobject\n", [0, 255]),
        ([gray(0, 255).convert("1")], "class_0\nclass_1\n", None),
        ([gray(0, 38, 75)], "class_0\nclass_38\nclass_75\n", [0, 38, 75]),
        ([rgb(RED, BLUE), rgb((0, 0, 0), RED)],
         "color_0_0_0 0 0 0\ncolor_0_0_255 0 0 255\ncolor_255_0_0 255 0 0\n", None),
    ],
)  # fmt: skip
def test_missing_classes_are_proposed_and_what_is_proposed_works(tmp_path, masks, proposed, option):
    folder = make_folder(tmp_path / "in", masks * 4)
    with pytest.raises(ConversionError, match="classes.txt: missing; .* edit their names") as error:
        convert_folder.plan(str(folder))
    assert "\n" not in str(error.value)
    assert (folder / PROPOSAL_FILE).read_text() == proposed
    if option:
        assert f"--mask_values={','.join(map(str, option))}" in str(error.value)
    (folder / PROPOSAL_FILE).rename(folder / "classes.txt")
    plan = convert_folder.plan(str(folder), mask_values=option or ())
    assert run_conversion(plan, str(tmp_path / "out"))["skipped"] == 0


@pytest.mark.parametrize(
    "masks, classes, proposed, option",
    [
        ([gray(0, 1, 2)], "sky\nroad\n", "sky\nroad\nclass_2\n", None),
        ([gray(0, 1, 99)], "sky\nroad\n", "sky\nroad\nclass_99\n", [0, 1, 99]),
        ([rgb(RED, BLUE)], "sky 255 0 0\n", "sky 255 0 0\ncolor_0_0_255 0 0 255\n", None),
        ([["car", "tree"], ["__ignore__", "ox"]], "background\ncar\n",
         "background\ncar\nox\ntree\n", None),
    ],
)  # fmt: skip
def test_classes_that_a_class_file_lacks(tmp_path, masks, classes, proposed, option):
    """After the proposal was saved, the same command goes on in the same directory."""
    folder, out = make_folder(tmp_path / "in", masks * 4, classes), str(tmp_path / "out")
    with pytest.raises(ConversionError, match="edit their names, save it as classes.txt"):
        run_conversion(convert_folder.plan(str(folder)), out, max_errors=1)
    assert (folder / PROPOSAL_FILE).read_text() == proposed
    (folder / PROPOSAL_FILE).rename(folder / "classes.txt")
    if not isinstance(masks[0], list):
        plan = convert_folder.plan(str(folder), mask_values=option or ())
        assert run_conversion(plan, out)["skipped"] == 0


def test_too_many_colors_are_no_classes(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    folder = make_folder(tmp_path / "in", [Image.fromarray(pixels)])
    with pytest.raises(ConversionError, match="more values or colors, too many for classes"):
        convert_folder.plan(str(folder))
    assert not (folder / PROPOSAL_FILE).exists()


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    folder = make_folder(tmp_path / "in", [gray(0, 1)])
    (folder / PROPOSAL_FILE).mkdir()
    with pytest.raises(ConversionError, match="classes_proposed.txt cannot be written"):
        convert_folder.plan(str(folder))


@pytest.mark.parametrize(
    "masks, classes, binary",
    [
        ([gray(0, 255)], "a\nb\n", True),
        ([gray(0, 0), rgb((255, 255, 255), (0, 0, 0))], "a\nb\n", True),
        ([gray(0, 255), gray(0, 1)], "a\nb\n", False),
        ([gray(0, 0)], "a\nb\n", False),
        ([gray(0, 255)], "a\nb\nc\n", False),
        ([rgb(RED, BLUE)], "a\nb\n", False),
    ],
)
def test_two_classes_of_0_and_255_are_recognized(tmp_path, masks, classes, binary):
    folder = make_folder(tmp_path / "in", masks * 3, classes)
    assert are_binary(convert_folder.plan(str(folder))) == binary
