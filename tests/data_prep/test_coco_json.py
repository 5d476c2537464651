"""COCO's annotations as tools write them: drawn as meant, or counted and refused."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pycocotools import mask as coco_mask
from readback import labels_by_name

from adl_tf.data.description import read_dataset_description
from data_prep import coco_json, convert_folder
from data_prep.errors import BadExample, ConversionError
from data_prep.examples import Item
from data_prep.run import run_conversion

HEIGHT, WIDTH, COUNT = 40, 50, 5
BOX = [[5, 10, 30, 10, 30, 20, 5, 20]]
INSIDE = np.zeros((HEIGHT, WIDTH), np.uint8)
INSIDE[10:20, 5:30] = 1
CATEGORIES = [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]


def write(root, annotations, categories=CATEGORIES, image_id=int):
    """Images 0..4 and a file of annotations."""
    (root / "images").mkdir(parents=True)
    images = []
    for index in range(COUNT):
        Image.new("RGB", (WIDTH, HEIGHT)).save(root / "images" / f"im{index}.jpg")
        name = f"im{index}.jpg"
        images.append({"id": image_id(index), "file_name": name, "height": HEIGHT, "width": WIDTH})
    content = {"images": images, "annotations": annotations, "categories": categories}
    (root / "annotations.json").write_text(json.dumps(content))
    return str(root)


def annotate(index, segmentation=BOX, category=0, image=None, **more):
    image = index if image is None else image
    fields = {"id": index, "image_id": image, "category_id": category, "iscrowd": 0, "area": 250}
    return {**fields, "bbox": [5, 10, 25, 10], "segmentation": segmentation, **more}


def convert(root, output, **options):
    run_conversion(convert_folder.plan(root), str(output), **options)
    labels = {}
    for split in read_dataset_description(output).splits:
        labels.update(labels_by_name(output, split))
    return labels


NOTHING = {
    "category": ({"category": 7}, "their category_id is none of 0, 1"),
    "no segmentation": ({"segmentation": None}, "they have no outline"),
    "empty": ({"segmentation": []}, "they have no outline"),
    "empty outline": ({"segmentation": [[]]}, "fewer than three corners, as boxes do"),
    "box": ({"segmentation": [[5, 10, 30, 20]]}, "fewer than three corners, as boxes do"),
    "flat box": ({"segmentation": [5, 10, 30, 20]}, "fewer than three corners, as boxes do"),
    "text": ({"segmentation": [["a"] * 6]}, "their corners are no numbers"),
    "odd": ({"segmentation": [[1, 2, 3, 4, 5, 6, 7]]}, "their corners are no numbers"),
    "not finite": ({"segmentation": [[1, 2, 3, 4, 5, float("nan")]]}, "are no numbers"),
    "right": ({"segmentation": [[60, 1, 70, 1, 70, 9]]}, "outside of the image"),
    "above": ({"segmentation": [[1, -9, 9, -9, 9, -1]]}, "outside of the image"),
    "far": ({"segmentation": [[1, 1, 9e9, 1, 9, 9]]}, "their corners are far outside"),
    "shares": ({"segmentation": [[0.1, 0.2, 0.9, 0.2, 0.9, 1.0]]}, "shares of the image, 0 to 1"),
    "no runs": ({"segmentation": {"size": [40, 50], "counts": [2000]}}, "their runs have no pixel"),
    "no text": ({"segmentation": {"size": [40, 50], "counts": ""}}, "their runs have no pixel"),
    "turned": ({"segmentation": {"size": [50, 40], "counts": [0, 9]}}, "of another size"),
}  # fmt: skip


@pytest.mark.parametrize("name", NOTHING)
def test_annotations_that_come_to_nothing(tmp_path, capsys, name):
    """Counted by cause, and their images are bad examples."""
    changes, cause = NOTHING[name]
    annotations = [annotate(index) for index in range(COUNT)]
    annotations[1:3] = [annotate(index, **changes) for index in (1, 2)]
    root = write(tmp_path / "in", annotations)
    with pytest.raises(ConversionError, match="im1.jpg: its annotation cannot be drawn"):
        convert(root, tmp_path / "out")
    lines = capsys.readouterr().err.splitlines()
    note = next(line for line in lines if cause in line)
    assert "2 of 5 annotations come to nothing" in note and "the first is annotation 1" in note
    labels = convert(root, tmp_path / "out", max_errors=2)
    assert sorted(labels) == ["im0", "im3", "im4"]
    for label in labels.values():
        np.testing.assert_array_equal(label, INSIDE)


def test_annotations_of_no_image_are_counted(tmp_path, capsys):
    annotations = [annotate(0), annotate(1, image=77), annotate(2, image=78)]
    root = write(tmp_path / "in", annotations)
    with pytest.raises(ConversionError, match="annotation 1 belongs to no image, its image_id is"):
        convert(root, tmp_path / "out", max_errors=1)
    assert "2 of 3 annotations come to nothing, since their image_id" in capsys.readouterr().err
    assert len(convert(root, tmp_path / "out", max_errors=2)) == COUNT


@settings(derandomize=True, deadline=None, database=None, max_examples=30)
@given(*[st.sampled_from([int, str, float])] * 4)
def test_ids_as_numbers_and_as_texts_are_the_same(image, image_of, category, category_of):
    images = [{"id": image(3), "file_name": "a.jpg", "height": HEIGHT, "width": WIDTH}]
    note = annotate(0, category=category_of(1), image=image_of(3))
    if str in (image, image_of):  # A text of a float is no number that a tool counts with.
        image, image_of = (int if kind is float else kind for kind in (image, image_of))
        images[0]["id"], note["image_id"] = image(3), image_of(3)
    categories = [{"id": category(1), "name": "cat"}]
    content = {"images": images, "annotations": [note], "categories": categories}
    if float in (category, category_of) and str in (category, category_of):
        return
    items, orphans, notes = coco_json.list_items("f", content, str, {"1": 1})
    assert not orphans and not notes and items[0].label.objects == [(1, BOX, False)]


def test_background_and_ignore_of_labelme(tmp_path):
    names = ["__ignore__", "_background_", "cat"]
    categories = [{"id": index, "name": name} for index, name in enumerate(names)]
    parts = [
        annotate(0, [[0, 30, 50, 30, 50, 40, 0, 40]], category=0, area=500),
        annotate(1, BOX, category=2, image=0, area=250),
        annotate(2, [[5, 10, 10, 10, 10, 20, 5, 20]], category=1, image=0, area=50),
    ]
    root = write(tmp_path / "in", parts, categories)
    label = convert(root, tmp_path / "out")["im0"]
    expected = INSIDE.copy()
    expected[10:20, 5:10] = 0
    expected[30:] = 255
    np.testing.assert_array_equal(label, expected)
    assert read_dataset_description(tmp_path / "out").class_names == ("background", "cat")


def draw(segmentation, tmp_path, iscrowd=False):
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "a.png")
    drawing = coco_json.Drawing(HEIGHT, WIDTH, [(1, segmentation, iscrowd)], "")
    return coco_json.convert(Item("a", str(tmp_path / "a.png"), drawing)).label


@pytest.mark.parametrize(
    "segmentation",
    [
        BOX,
        BOX[0],
        [[[5, 10], [30, 10], [30, 20], [5, 20]]],
        [[5, 10], [30, 10], [30, 20], [5, 20]],
        [[5, 10, 15, 10, 15, 20, 5, 20], [15, 10, 30, 10, 30, 20, 15, 20]],
        [*BOX, [1, 1, 2, 2]],
    ],
)
def test_outlines_as_tools_nest_them(tmp_path, segmentation):
    np.testing.assert_array_equal(draw(segmentation, tmp_path), INSIDE)


def plain_runs(mask):
    """Alternating runs outside and inside, column by column."""
    flat = np.concatenate([[0], mask.T.ravel(), [1 - mask.T.ravel()[-1]]])
    return np.diff([0, *np.flatnonzero(np.diff(flat))]).tolist()


def test_compressed_runs(tmp_path):
    random = np.random.default_rng(0)
    for share in (0.01, 0.3, 0.9, 1.0):
        mask = (random.random((HEIGHT, WIDTH)) < share).astype(np.uint8)
        text = coco_mask.encode(np.asfortranarray(mask))["counts"].decode()
        for counts in (text, plain_runs(mask)):
            runs = {"size": [HEIGHT, WIDTH], "counts": counts}
            np.testing.assert_array_equal(draw(runs, tmp_path), mask)
            expected = np.where(mask, 255, 0)
            np.testing.assert_array_equal(draw(runs, tmp_path, iscrowd=True), expected)


CUT = coco_mask.encode(np.asfortranarray(INSIDE))["counts"].decode()[:-2]


@pytest.mark.parametrize(
    "counts",
    ["zzzz", "PPPP", "é", "1" * 60, CUT, CUT + "P", [5], [5, -3, 1998], [5, 1, 5], ["a", 1]],
)
def test_damaged_runs_are_bad_examples(tmp_path, counts):
    with pytest.raises(BadExample, match="its annotation cannot be drawn"):
        draw({"size": [HEIGHT, WIDTH], "counts": counts}, tmp_path)
