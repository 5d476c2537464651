"""Shapes of labelme, as labels."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image
from readback import labels_by_name

from adl_tf.data.description import read_dataset_description
from data_prep import convert_folder, labelme
from data_prep.errors import BadExample, ConversionError
from data_prep.run import run_conversion

HEIGHT, WIDTH = 40, 50


def shape(label, kind, *points, **more):
    return {"label": label, "shape_type": kind, "points": [list(p) for p in points], **more}


def mask_shape(label, mask, left, top):
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    height, width = mask.shape
    corners = (left, top), (left + width - 1, top + height - 1)
    return shape(label, "mask", *corners, mask=base64.b64encode(buffer.getvalue()).decode())


def write(path, shapes, size=(HEIGHT, WIDTH), **more):
    path.parent.mkdir(exist_ok=True, parents=True)
    Image.new("RGB", (WIDTH, HEIGHT)).save(path.with_suffix(".jpg"))
    content = {"shapes": shapes, "imageHeight": size[0], "imageWidth": size[1], **more}
    path.write_text(json.dumps(content))
    return str(path)


def draw(tmp_path, shapes, names=("background", "car"), **more):
    path = write(tmp_path / "a.json", shapes, **more)
    return labelme.draw(path, names, str(tmp_path / "a.jpg"))


def test_a_circle_by_its_center_and_a_point_of_its_edge(tmp_path):
    label = draw(tmp_path, [shape("car", "circle", (20, 18), (20, 8))])
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    distance = np.hypot(x - 20, y - 18)
    assert (label[distance < 9.2] == 1).all() and (label[distance > 10.8] == 0).all()


@pytest.mark.parametrize("kind", ["rectangle", "oriented_rectangle", "polygon"])
def test_rectangles_of_two_and_of_four_corners(tmp_path, kind):
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[5:16, 10:31] = 1
    corners = [(10, 5), (30, 5), (30, 15), (10, 15)]
    np.testing.assert_array_equal(draw(tmp_path, [shape("car", kind, *corners)]), expected)
    two = shape("car", "rectangle", corners[2], corners[0])
    np.testing.assert_array_equal(draw(tmp_path, [two]), expected)


def test_a_mask_is_pasted_at_its_corner(tmp_path):
    inside = np.random.default_rng(0).random((9, 11)) < 0.5
    expected = np.zeros((HEIGHT, WIDTH), np.uint8)
    expected[31:40, 28:39] = inside
    label = draw(tmp_path, [mask_shape("car", inside, 28, 31)])
    np.testing.assert_array_equal(label, expected)


def test_special_names_and_the_order_of_shapes(tmp_path):
    shapes = [
        shape("car", "rectangle", (0, 0), (19, 39)),
        shape("__ignore__", "rectangle", (10, 0), (29, 39)),
        shape("_background_", "rectangle", (25, 0), (49, 39)),
    ]
    label = draw(tmp_path, shapes, names=("_background_", "car"))
    np.testing.assert_array_equal(label[0], [1] * 10 + [255] * 15 + [0] * 25)


def test_the_size_of_the_image_where_the_file_has_none(tmp_path):
    car = shape("car", "rectangle", (0, 0), (5, 5))
    assert draw(tmp_path, [car], size=(None, None)).shape == (HEIGHT, WIDTH)
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"shapes": [car]}))
    assert labelme.draw(str(path), ("background", "car"), str(tmp_path / "a.jpg")).sum() == 36


CAR = shape("car", "polygon", (5, 10), (30, 10), (30, 20), (5, 20))
STRAY = [
    shape("car", "point", (3, 3)),
    shape("car", "line", (3, 3), (9, 9)),
    shape("car", "linestrip", (3, 3), (9, 9), (9, 20)),
    shape("car", "points", (3, 3), (9, 9), (9, 20)),
    shape("car", "polygon", (3, 3), (9, 9)),
    shape("car", "circle", (3, 3)),
    shape("car", "rectangle", (3, 3)),
    shape("car", "polygon"),
    shape("car", "mask", (3, 3), (9, 9)),
]


@pytest.mark.parametrize("stray", STRAY, ids=lambda s: f"{s['shape_type']} {len(s['points'])}")
def test_a_shape_without_inside_costs_itself_and_a_line(tmp_path, capsys, stray):
    for index in range(3):
        write(tmp_path / "in" / f"{index}.json", [CAR, stray] if index == 1 else [CAR])
    plan = convert_folder.plan(str(tmp_path / "in"))
    assert run_conversion(plan, str(tmp_path / "out"))["skipped"] == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "left out" in line]
    kind = f"a {stray['shape_type']} with {len(stray['points'])} points"
    assert len(lines) == 1 and f"1.json: {kind} is left out" in lines[0]
    labels = {
        **labels_by_name(tmp_path / "out", "train"),
        **labels_by_name(tmp_path / "out", "val"),
    }
    for label in labels.values():
        np.testing.assert_array_equal(label, labels["0"])


@pytest.mark.parametrize(
    "entry",
    [
        {"label": "car"},
        {"points": [[0, 0]]},
        {"label": "car", "points": [["a", 1], [2, 3], [4, 5]]},
        {"label": "car", "points": [[float("nan"), 1], [2, 3], [4, 5]]},
        shape("car", "mask", (0, 0), mask="nonsense"),
    ],
)
def test_damaged_files_are_named(tmp_path, entry):
    path = write(tmp_path / "a.json", [entry])
    with pytest.raises(BadExample, match="a.json: not a file of shapes"):
        labelme.draw(path, ("background", "car"), "")
    with pytest.raises(ConversionError, match="1 damaged files: .*a.json"):
        labelme.survey([path])


@pytest.mark.parametrize(
    "classes, names, label",
    [
        (None, ("background", "car"), 1),
        ("background\ncar\n", ("background", "car"), 1),
        ("__ignore__\n_background_\ncar\n", ("_background_", "car"), 1),
        ("other\nvan\ncar\n", ("other", "van", "car"), 2),
        # Class 0 would be what no shape covers.
        ("car\nvan\n", ("background", "car", "van"), 1),
    ],
)
def test_class_0_is_what_no_shape_covers(tmp_path, classes, names, label):
    ignored = shape("__ignore__", "rectangle", (0, 30), (49, 39))
    for index in range(3):
        write(tmp_path / "in" / f"{index}.json", [CAR, ignored])
    if classes:
        (tmp_path / "in" / "labels.txt").write_text(classes)
    run_conversion(convert_folder.plan(str(tmp_path / "in")), str(tmp_path / "out"))
    description = read_dataset_description(tmp_path / "out")
    assert description.class_names == names
    pixels = description.splits["val"].class_pixels
    assert pixels[label] == 26 * 11 and pixels[0] == 30 * 50 - 26 * 11
    assert description.splits["val"].ignored_pixels == 500


def test_a_background_that_is_not_the_first_class_is_refused(tmp_path):
    write(tmp_path / "0.json", [CAR])
    (tmp_path / "classes.txt").write_text("car\nbackground\n")
    with pytest.raises(ConversionError, match="write background into the first line"):
        convert_folder.plan(str(tmp_path))
