"""CVAT's XML and Label Studio's JSON as they are downloaded, drawn as meant or counted."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from readback import labels_by_name

from adl_tf.data.description import read_dataset_description
from data_prep import convert_folder, label_studio, outlines
from data_prep.errors import ConversionError
from data_prep.run import run_conversion

HEIGHT, WIDTH = 40, 50
SIZE = f'width="{WIDTH}" height="{HEIGHT}"'
INSIDE = np.zeros((HEIGHT, WIDTH), np.uint8)
INSIDE[10:20, 5:30] = 1
CORNERS = [(5, 10), (30, 10), (30, 20), (5, 20)]
POINTS = ";".join(f"{x}.00,{y}.00" for x, y in CORNERS)
POLYGON = f'<polygon label="cat" points="{POINTS}" z_order="0"></polygon>'
BOX = '<box label="cat" xtl="5" ytl="10" xbr="30" ybr="20" z_order="0"></box>'


def draw_images(root, *names):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (WIDTH, HEIGHT)).save(root / name)


def convert(root, output, **options):
    run_conversion(convert_folder.plan(str(root)), str(output), **options)
    labels = {}
    for split in read_dataset_description(output).splits:
        labels.update(labels_by_name(output, split))
    return labels


def write_cvat(root, *shapes, labels=("cat", "dog"), more=""):
    """Images 0.png, 1.png, ... with these shapes."""
    meta = "".join(f"<label><name>{n}</name><type>any</type></label>" for n in labels) + more
    images = [f'<image id="{i}" name="{i}.png" {SIZE}>{s}</image>' for i, s in enumerate(shapes)]
    text = f"<annotations><version>1.1</version><meta><task><labels>{meta}</labels></task></meta>"
    root.mkdir(exist_ok=True)
    (root / "annotations.xml").write_text(f"{text}{''.join(images)}</annotations>")
    draw_images(root, *(f"images/{index}.png" for index in range(len(shapes))))
    return root


def runs_of(mask):
    flat = np.concatenate([[0], mask.ravel(), [2]])
    return np.diff([0, *np.flatnonzero(np.diff(flat))]).tolist()


def cvat_mask(mask, left, top):
    height, width = mask.shape
    runs = ", ".join(map(str, runs_of(mask)))
    place = f'left="{left}" top="{top}" width="{width}" height="{height}"'
    return f'<mask label="cat" rle="{runs}" {place} z_order="0"></mask>'


RANDOM = (np.random.default_rng(0).random((9, 11)) < 0.5).astype(np.uint8)
PASTED = np.zeros((HEIGHT, WIDTH), np.uint8)
PASTED[31:40, 28:39] = RANDOM


@pytest.mark.parametrize(
    "shape, expected",
    [
        (POLYGON, INSIDE),
        (BOX, INSIDE),
        (cvat_mask(RANDOM, 28, 31), PASTED),
        (cvat_mask(INSIDE, 0, 0), INSIDE),
        ("", INSIDE * 0),
        ('<tag label="sunny"></tag>' + POLYGON, INSIDE),
        # What is higher covers what is lower, wherever it is in the file.
        (POLYGON.replace('r="0"', 'r="1"') + BOX.replace("cat", "dog"), INSIDE),
        (POLYGON.replace("cat", "dog") + BOX, INSIDE),
    ],
)
def test_shapes_of_cvat(tmp_path, shape, expected):
    labels = convert(write_cvat(tmp_path / "in", shape, POLYGON), tmp_path / "out")
    np.testing.assert_array_equal(labels["0"], expected)
    np.testing.assert_array_equal(labels["1"], INSIDE)
    names = read_dataset_description(tmp_path / "out").class_names
    assert names == ("background", "cat", "dog")


def test_turned_boxes_and_ellipses_of_cvat(tmp_path):
    box = '<box label="cat" xtl="15" ytl="15" xbr="35" ybr="25" rotation="30" z_order="0"></box>'
    ellipse = '<ellipse label="cat" cx="25" cy="20" rx="18" ry="7" rotation="30"></ellipse>'
    labels = convert(write_cvat(tmp_path / "in", box, ellipse), tmp_path / "out")
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5 - np.array([20, 25]).reshape(2, 1, 1)
    angle = np.deg2rad(30)  # Clockwise: the right end is the lower one.
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    for name, distance in (
        ("0", np.maximum(abs(along) / 10, abs(across) / 5)),
        ("1", np.hypot(along / 18, across / 7)),
    ):
        assert (labels[name][distance < 0.93] == 1).all()
        assert (labels[name][distance > 1.07] == 0).all()


def test_labels_of_cvat_that_are_no_classes(tmp_path):
    """Those of whole images and of parts of skeletons, unless something is drawn with them."""
    more = "<label><name>sunny</name><type>tag</type></label>"
    more += "<label><name>eye</name><type>points</type></label>"
    other = POLYGON.replace("cat", "bird")
    root = write_cvat(tmp_path / "in", POLYGON, other, labels=("cat",), more=more)
    labels = convert(root, tmp_path / "out")
    names = read_dataset_description(tmp_path / "out").class_names
    assert names == ("background", "cat", "bird") and labels["1"].max() == 2


@pytest.mark.parametrize(
    "shape, cause",
    [
        ('<polyline label="cat" points="1,2;3,4;5,5"/>', "of the kind polyline, which has no"),
        ('<points label="cat" points="1,2;3,4;5,5"/>', "of the kind points, which has no inside"),
        ('<skeleton label="cat"><points label="1" points="1,1"/></skeleton>', "kind skeleton"),
        ('<cuboid label="cat" xtl1="1"/>', "kind cuboid, which has no inside"),
        ('<polygon label="cat" points="1,2;3,4"/>', "fewer than three corners"),
        ('<polygon label="cat" points="1,2;3"/>', "corners are no numbers"),
        ('<polygon label="cat" points="a,b"/>', "kind polygon, and damaged"),
        (POLYGON.replace('label="cat"', 'label=""'), "their category_id is none of 0, 1"),
        (cvat_mask(RANDOM, 45, 31), "kind mask, and damaged"),
        (cvat_mask(RANDOM, 5, 5).replace('width="11"', 'width="12"'), "kind mask, and damaged"),
        (cvat_mask(RANDOM * 0, 5, 5), "their runs have no pixel"),
    ],
)
def test_shapes_of_cvat_that_come_to_nothing(tmp_path, capsys, shape, cause):
    root = write_cvat(tmp_path / "in", POLYGON, POLYGON + shape, POLYGON)
    with pytest.raises(ConversionError, match="1.png: its annotation cannot be drawn"):
        convert(root, tmp_path / "out")
    error = capsys.readouterr().err
    assert "1 of 4 annotations come to nothing" in error and cause in error
    assert sorted(convert(root, tmp_path / "out", max_errors=1)) == ["0", "2"]


def test_subsets_of_a_project_of_cvat(tmp_path):
    """Which have folders of their own, and may share names."""
    images = [
        f'<image id="{i}" name="1.png" subset="{subset}" {SIZE}>{shape}</image>'
        for i, (subset, shape) in enumerate([("Train", POLYGON), ("Validation", "")])
    ]
    root = tmp_path / "in"
    draw_images(root, "images/Train/1.png", "images/Validation/1.png")
    (root / "annotations.xml").write_text(f"<annotations>{''.join(images)}</annotations>")
    convert(root, tmp_path / "out")
    for split, expected in (("train", INSIDE), ("val", INSIDE * 0)):
        (label,) = labels_by_name(tmp_path / "out", split).values()
        np.testing.assert_array_equal(label, expected)


@pytest.mark.parametrize(
    "text, reason",
    [
        ('<annotations><track label="cat"></track></annotations>', "export it as CVAT for images"),
        ("<annotations><image></annotations>", "mismatched tag"),
        ('<annotations><image id="0"/></annotations>', "KeyError"),
    ],
)
def test_damaged_files_of_cvat_are_one_line(tmp_path, text, reason):
    draw_images(tmp_path, "images/0.png")
    (tmp_path / "annotations.xml").write_text(text)
    with pytest.raises(ConversionError, match=reason) as error:
        convert_folder.plan(str(tmp_path))
    assert "annotations.xml: not a file of annotations" in str(error.value)
    assert "\n" not in str(error.value)


def test_files_about_one_image_are_no_annotations_of_all(tmp_path):
    """Such as PASCAL VOC's boxes."""
    write_cvat(tmp_path, POLYGON, POLYGON)
    (tmp_path / "Annotations").mkdir()
    for index in range(2):
        (tmp_path / "Annotations" / f"{index}.xml").write_text("<annotation></annotation>")
    assert convert_folder.plan(str(tmp_path)).class_names == ("background", "cat", "dog")


def result(kind, label="cat", identifier="r1", rotation=0, **value):
    labels = {kind: [label]} if label else {}
    return {
        "id": identifier,
        "type": kind,
        "original_width": WIDTH,
        "original_height": HEIGHT,
        "image_rotation": rotation,
        "value": {**value, **labels},
    }


PERCENT = [[100 * x / WIDTH, 100 * y / HEIGHT] for x, y in CORNERS]
AREA = result("polygonlabels", points=PERCENT)


def pack(values, lengths=(3, 4, 9, 16)):
    """Bytes packed by chunks of every kind: runs where values repeat, else as they are."""
    bits = f"{len(values):032b}{7:05b}" + "".join(f"{length - 1:04b}" for length in lengths)
    position, kind = 0, 0
    while position < len(values):
        kind = (kind + 1) % 4
        most = min(2 ** lengths[kind], len(values) - position)
        same = next((n for n in range(most) if values[position + n] != values[position]), most)
        count = same if same > 2 else min(most, 5)
        words = values[position : position + (1 if same > 2 else count)]
        bits += f"{int(same > 2)}{kind:02b}{count - 1:0{lengths[kind]}b}"
        bits += "".join(f"{word:08b}" for word in words)
        position += count
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def brush(opacity):
    pixels = np.zeros((*opacity.shape, 4), np.uint8)
    pixels[..., 3] = opacity
    return result("brushlabels", format="rle", rle=pack(pixels.ravel().tolist()))


def task(index, *results, **more):
    annotation = {"id": index, "result": list(results), "was_cancelled": False, **more}
    data = {"image": f"/data/upload/1/0a1b2c3{index}-{index}.png"}
    return {"id": index, "annotations": [annotation], "data": data}


def write_tasks(root, *tasks):
    root.mkdir(exist_ok=True)
    (root / "project-1-at-2026-11-30-08-00-0a1b2c3d.json").write_text(json.dumps(tasks))
    draw_images(root, *(f"images/{index}.png" for index in range(len(tasks))))
    return root


SOFT = np.where(INSIDE == 1, 200, 60)
UNLABELLED = result("polygon", label="", points=PERCENT)


@pytest.mark.parametrize(
    "results, expected",
    [
        ([AREA], INSIDE),
        ([brush(INSIDE * 255)], INSIDE),
        ([brush(SOFT)], INSIDE),
        ([], INSIDE * 0),
        ([result("choices", label="", choices=["good"]), AREA], INSIDE),
        ([{"type": "relation", "from_id": "r1", "to_id": "r2"}, AREA], INSIDE),
        # Shape and label of two controls.
        ([UNLABELLED, result("labels", points=PERCENT)], INSIDE),
        # Later ones cover earlier ones.
        ([result("polygonlabels", "dog", "r2", points=PERCENT), AREA], INSIDE),
    ],
)
def test_results_of_label_studio(tmp_path, results, expected):
    dog = result("polygonlabels", "dog", points=PERCENT)
    root = write_tasks(tmp_path / "in", task(0, *results), task(1, dog), task(2, AREA))
    labels = convert(root, tmp_path / "out")
    np.testing.assert_array_equal(labels["0a1b2c30-0"], expected)
    np.testing.assert_array_equal(labels["0a1b2c31-1"], 2 * INSIDE)
    names = read_dataset_description(tmp_path / "out").class_names
    assert names == ("background", "cat", "dog")


def test_an_ellipse_of_label_studio(tmp_path):
    ellipse = result("ellipselabels", x=50, y=50, radiusX=36, radiusY=17.5, rotation=0)
    root = write_tasks(tmp_path / "in", task(0, ellipse), task(1, AREA))
    label = convert(root, tmp_path / "out")["0a1b2c30-0"]
    assert abs(label.sum() - np.pi * 18 * 7) < 12 and label[20, 8:42].all()


@pytest.mark.parametrize(
    "entry, cause",
    [
        (result("keypointlabels", x=5, y=5, width=1), "keypointlabels, which have no outline"),
        (result("rectanglelabels", x=5, y=5, width=1, height=1, rotation=0), "rectanglelabels, wh"),
        (result("polygonlabels", rotation=90, points=PERCENT), "image was turned while"),
        (result("polygon", label="", points=PERCENT[:3]), "their category_id is none of 0"),
        (result("polygonlabels", points=[[1, 2], [3, 4]]), "fewer than three corners"),
        (result("polygonlabels", points=[[1, "a"]]), "polygonlabels, and damaged"),
        (result("brushlabels", rle=[1, 2, 3]), "brushlabels, and damaged"),
        (result("brushlabels", rle=pack([0] * 40)), "brushlabels, and damaged"),
        (brush(INSIDE * 60), "their runs have no pixel"),
        ({**AREA, "original_width": None}, "do not tell the size of their image"),
        ({**AREA, "value": {**AREA["value"], "polygonlabels": ["cat", "dog"]}}, "several labels"),
    ],
)
def test_results_of_label_studio_that_come_to_nothing(tmp_path, capsys, entry, cause):
    other = {**entry, "id": "r2"}
    root = write_tasks(tmp_path / "in", task(0, AREA), task(1, AREA, other), task(2, AREA))
    with pytest.raises(ConversionError, match="1.png: its annotation cannot be drawn"):
        convert(root, tmp_path / "out")
    error = capsys.readouterr().err
    assert "1 of 4 annotations come to nothing" in error and cause in error
    assert len(convert(root, tmp_path / "out", max_errors=1)) == 2


def test_one_annotation_of_a_task_counts(tmp_path):
    """Not a cancelled one; the ground truth, else the last."""
    old, new = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"
    empty = {"result": []}
    tasks = [
        task(0, AREA, updated_at=new),
        task(1, AREA, ground_truth=True, updated_at=old),
        task(2, AREA, updated_at=old),
        task(3),
    ]
    tasks[0]["annotations"].append({**empty, "updated_at": old})
    tasks[1]["annotations"].append({**empty, "updated_at": new})
    tasks[2]["annotations"].append({**empty, "updated_at": new, "was_cancelled": True})
    tasks[3]["annotations"] = []
    root = write_tasks(tmp_path / "in", *tasks)
    plan = convert_folder.plan(str(root))
    notes = "\n".join(plan.notes)
    assert "nobody annotated: 1" in notes and "annotations of a task: 2 tasks" in notes
    labels = convert(root, tmp_path / "out")
    assert sorted(labels) == [f"0a1b2c3{index}-{index}" for index in range(3)]
    for label in labels.values():
        np.testing.assert_array_equal(label, INSIDE)


def test_the_short_form_of_label_studio(tmp_path):
    entry = {**AREA["value"], "original_width": WIDTH, "original_height": HEIGHT}
    rows = [
        {"id": i, "image": f"https://a.b/c/{i}.png?key=1", "label": [entry], "annotation_id": i}
        for i in range(2)
    ]
    # Shapes without labels of a control of their own.
    unlabelled = {key: part for key, part in entry.items() if key != "polygonlabels"}
    rows[1] = {**rows[1], "wand": [unlabelled]}
    rows.append({**rows[0], "label": [], "annotation_id": 7, "updated_at": ""})
    rows[0]["updated_at"] = "2026-01-01"
    labels = convert(write_tasks(tmp_path / "in", *rows), tmp_path / "out")
    assert sorted(labels) == ["0", "1"]
    for label in labels.values():
        np.testing.assert_array_equal(label, INSIDE)


@settings(derandomize=True, deadline=None, database=None, max_examples=60)
@given(
    st.lists(st.tuples(st.integers(0, 255), st.integers(1, 40)), max_size=12),
    st.tuples(*[st.integers(1, 16)] * 4),
)
def test_brushes_are_unpacked(runs, lengths):
    values = [value for value, count in runs for _ in range(count)]
    packed = bytes(pack(values, lengths))
    np.testing.assert_array_equal(label_studio.decode_runs(packed, len(values)), values)
    with pytest.raises(ValueError, match="runs"):
        label_studio.decode_runs(packed, len(values) + 1)
    if values:
        with pytest.raises(ValueError, match="runs|invalid literal"):
            label_studio.decode_runs(packed[:-2], len(values))


@settings(derandomize=True, deadline=None, database=None, max_examples=60)
@given(st.integers(0, 3), st.integers(0, 3), st.integers(1, 3), st.integers(1, 3), st.data())
def test_masks_as_runs(top, left, height, width, data):
    size = (
        top + height + data.draw(st.integers(0, 2)),
        left + width + data.draw(st.integers(0, 2)),
    )
    bits = data.draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    mask = np.array(bits).reshape(height, width)
    expected = np.zeros(size, bool)
    expected[top : top + height, left : left + width] = mask
    counts = outlines.runs(mask, (top, left), size)["counts"]
    np.testing.assert_array_equal(outlines.inside_of_runs(counts, size[::-1]).T, expected)
