import json

import numpy as np
import pytest
from PIL import Image
from readback import labels_by_name

from adl_tf.data.description import read_dataset_description
from data_prep import convert_coco
from data_prep.errors import ConversionError
from data_prep.run import run_conversion

# The 20 of COCO's categories that VOC has, with COCO's ids, and the class ids of VOC.
VOC_OF_COCO = {
    "person": (1, 15), "bicycle": (2, 2), "car": (3, 7), "motorcycle": (4, 14),
    "airplane": (5, 1), "bus": (6, 6), "train": (7, 19), "boat": (9, 4), "bird": (16, 3),
    "cat": (17, 8), "dog": (18, 12), "horse": (19, 13), "sheep": (20, 17), "cow": (21, 10),
    "bottle": (44, 5), "chair": (62, 9), "couch": (63, 18), "potted plant": (64, 16),
    "dining table": (67, 11), "tv": (72, 20),
}  # fmt: skip
ZEBRA = 24


def box(x0, y0, x1, y1):
    """The outline of a box, as polygons are written."""
    return [[x0, y0, x1, y0, x1, y1, x0, y1]]


def annotate(image, category, segmentation, area=100.0, iscrowd=0):
    return {
        "image_id": image,
        "category_id": category,
        "segmentation": segmentation,
        "area": area,
        "iscrowd": iscrowd,
        "bbox": [0, 0, 1, 1],
        "id": 1,
    }


def write(root, split, annotations, images=(9, 25), size=(30, 40)):
    """Images and annotations as the archives of 2017 unpack."""
    (root / f"{split}2017").mkdir(parents=True, exist_ok=True)
    (root / "annotations").mkdir(exist_ok=True)
    rows = []
    for image in images:
        name = f"{image:012d}.jpg"
        Image.new("RGB", (40, 30)).save(root / f"{split}2017" / name)
        rows.append({"id": image, "file_name": name, "height": size[0], "width": size[1]})
    categories = [{"id": i, "name": name} for name, (i, _) in VOC_OF_COCO.items()]
    content = {
        "info": {},
        "licenses": [],
        "images": rows,
        "annotations": annotations,
        "categories": [*categories, {"id": ZEBRA, "name": "zebra"}],
    }
    (root / "annotations" / f"instances_{split}2017.json").write_text(json.dumps(content))


@pytest.fixture
def root(tmp_path):
    write(tmp_path / "coco", "val", [annotate(9, 3, box(0, 0, 4, 4))])
    return tmp_path / "coco"


def convert(root, output, **options):
    return run_conversion(convert_coco.plan(str(root)), str(output), **options)


def convert_train(root, tmp_path, *annotations, **options):
    write(root, "train", list(annotations))
    convert(root, tmp_path / "out", **options)
    return labels_by_name(tmp_path / "out", "train")


def test_every_voc_class_is_found_under_its_coco_name(root, tmp_path):
    places = {coco: (x * 4, y * 4) for coco, (x, y) in zip(VOC_OF_COCO, np.ndindex(5, 4))}
    labels = convert_train(
        root,
        tmp_path,
        *(
            annotate(9, VOC_OF_COCO[name][0], box(x, y, x + 3, y + 2))
            for name, (x, y) in places.items()
        ),
    )
    expected = np.zeros((30, 40), np.uint8)
    for name, (x, y) in places.items():
        expected[y : y + 2, x : x + 3] = VOC_OF_COCO[name][1]
    np.testing.assert_array_equal(labels["000000000009"], expected)
    description = read_dataset_description(tmp_path / "out")
    assert description.class_names[VOC_OF_COCO["tv"][1]] == "tvmonitor"
    assert description.num_classes == 21


def test_images_without_voc_classes_are_left_out(root, tmp_path):
    labels = convert_train(
        root, tmp_path, annotate(9, ZEBRA, box(0, 0, 9, 9)), annotate(25, 1, box(1, 1, 3, 3))
    )
    assert list(labels) == ["000000000025"]


def test_small_objects_lie_over_large_ones(root, tmp_path):
    labels = convert_train(
        root,
        tmp_path,
        annotate(9, 1, box(4, 4, 8, 8), area=16.0),
        annotate(9, 63, box(0, 0, 20, 20), area=400.0),
    )
    expected = np.zeros((30, 40), np.uint8)
    expected[:20, :20] = 18
    expected[4:8, 4:8] = 15
    np.testing.assert_array_equal(labels["000000000009"], expected)


def test_crowds_are_ignored_but_where_an_object_is_outlined(root, tmp_path):
    mask = np.zeros((30, 40), np.uint8)
    mask[5:12, 3:30] = 1
    flat = mask.T.ravel()
    changes = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *changes, flat.size]).tolist()
    labels = convert_train(
        root,
        tmp_path,
        annotate(9, 1, {"counts": counts, "size": [30, 40]}, iscrowd=1, area=500.0),
        annotate(9, 18, box(10, 6, 12, 9), area=6.0),
        annotate(25, 1, {"counts": counts, "size": [30, 40]}, iscrowd=1),
    )
    expected = np.where(mask, 255, 0)
    expected[6:9, 10:12] = 12
    assert list(labels) == ["000000000009"]  # The other shows a crowd only.
    np.testing.assert_array_equal(labels["000000000009"], expected)


def test_outlines_are_drawn_to_their_pixel_centers(root, tmp_path):
    triangle = [[2.0, 2.0, 22.0, 2.0, 2.0, 22.0]]
    labels = convert_train(root, tmp_path, annotate(9, 1, triangle))
    y, x = np.mgrid[:30, :40] + 0.5
    distance = (24 - x - y) / np.sqrt(2)
    inside = (x > 2) & (y > 2) & (distance > 0)
    wrong = inside != (labels["000000000009"] == 15)
    assert not wrong[np.abs(distance) > 0.3].any()


@pytest.mark.parametrize(
    "annotation, message",
    [
        (annotate(9, 999, box(0, 0, 4, 4)), "category_id 999 of annotation 1 is no category"),
        (annotate(9, 1, [["a", "b"]]), "cannot be drawn"),
        (annotate(9, 1, None), "cannot be drawn"),
        (annotate(9, 1, {"counts": [5], "size": [1, 5]}), "runs are of another size"),
    ],
)
def test_bad_annotation_names_its_image(root, tmp_path, capsys, annotation, message):
    good = annotate(25, 1, box(0, 0, 4, 4))
    labels = convert_train(root, tmp_path, annotation, good, max_errors=1)
    assert list(labels) == ["000000000025"]
    errors = capsys.readouterr().err
    assert "train2017/000000000009.jpg: its annotation cannot be drawn" in errors
    assert message in errors


@pytest.mark.parametrize("part, field", [("annotations", "area"), ("images", "height")])
def test_annotations_without_a_field_name_their_file(root, tmp_path, part, field):
    write(root, "train", [annotate(9, 1, box(0, 0, 4, 4))])
    path = root / "annotations" / "instances_train2017.json"
    content = json.loads(path.read_text())
    del content[part][0][field]
    path.write_text(json.dumps(content))
    with pytest.raises(ConversionError, match=f"{path}: not the JSON .* '{field}'"):
        convert(root, tmp_path / "out")


def test_size_mismatch_and_missing_image(root, tmp_path, capsys):
    objects = [annotate(9, 1, box(0, 0, 4, 4)), annotate(25, 1, box(0, 0, 4, 4))]
    write(root, "train", objects, size=(31, 40))
    (root / "train2017" / "000000000025.jpg").unlink()
    assert convert(root, tmp_path / "out", max_errors=2)["skipped"] == 2
    errors = capsys.readouterr().err
    assert "000000000009: the label is 31x40, the image 30x40" in errors
    assert "000000000025.jpg: the image is missing" in errors


def test_unreadable_annotations_do_not_stop_the_other_split(root, tmp_path, capsys):
    path = root / "annotations" / "instances_train2017.json"
    path.write_text('{"images": [')
    summary = convert(root, tmp_path / "out", max_errors=1)
    assert summary == {"examples": {"val": 1}, "shards": 1, "skipped": 1}
    assert f"{path}: not the JSON of instance annotations" in capsys.readouterr().err
    path.write_text('{"images": []}')
    with pytest.raises(ConversionError, match="not the JSON .* 'annotations'"):
        convert(root, tmp_path / "other")
    path.write_text('{"images": [{}], "annotations": [], "categories": []}')
    with pytest.raises(ConversionError, match="not the JSON .* 'id'"):
        convert(root, tmp_path / "other")
    (root / "annotations" / "instances_val2017.json").unlink()
    with pytest.raises(ConversionError, match="instances_train2017"):
        convert_coco.plan(str(root))
