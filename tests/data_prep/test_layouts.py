"""One small data set in the layouts that people have: the same label maps come out of each."""

import json
import os

import forked
import numpy as np
import pytest
from PIL import Image
from readback import labels_by_name

from adl_tf.data.description import default_colors, read_dataset_description
from data_prep import convert_folder
from data_prep.errors import ConversionError
from data_prep.run import run_conversion

COUNT = 5
# Left half background, right half a cat; the size of image i is 6 x (8 + i).
LABELS = {
    str(i): np.array([[0] * (4 + i // 2) + [1] * (4 + i - i // 2)] * 6, np.uint8)
    for i in range(COUNT)
}


def write_images(folder, suffix=".jpg"):
    folder.mkdir(parents=True, exist_ok=True)
    for name, label in LABELS.items():
        Image.new("RGB", label.shape[::-1], (9, 9, 9)).save(folder / (name + suffix))


def write_masks(folder, ending="", make=Image.fromarray, suffix=".png"):
    folder.mkdir(parents=True, exist_ok=True)
    for name, label in LABELS.items():
        make(label).save(folder / (name + ending + suffix))


def write_classes(root, file="classes.txt", text="background\ncat\n"):
    (root / file).write_text(text)


def colored(colors):
    return lambda label: Image.fromarray(np.array(colors, np.uint8)[label])


def plain(root):
    write_images(root / "images")
    write_masks(root / "masks")
    write_classes(root)


def endings(root):
    write_images(root / "imgs", ".png")
    write_masks(root / "labels", "_mask", suffix=".bmp")
    write_classes(root, "class_names.txt", "__ignore__\nbackground\ncat\n")


def beside(root):
    write_images(root, ".png")
    write_masks(root, "_mask")
    write_classes(root)


def same_names(root):
    """Photos and masks that differ in their suffix alone."""
    write_images(root)
    write_masks(root)
    write_classes(root)


def same_names_bmp(root):
    write_images(root, ".bmp")
    write_masks(root)
    write_classes(root)


def voc_without_lists(root):
    write_images(root / "JPEGImages")
    write_masks(root / "SegmentationClass", make=colored(default_colors(2)))
    write_classes(root, "labels.txt")


def own_colors(root):
    write_images(root / "images")
    write_masks(root / "masks", make=colored([(1, 2, 3), (250, 0, 7)]))
    write_classes(root, text="background 1 2 3\ncat 250 0 7\n")


def labelme(root):
    write_images(root)
    for name, label in LABELS.items():
        height, width = label.shape
        start = int(np.argmax(label[0]))
        shape = {
            "label": "cat",
            "shape_type": "rectangle",
            "points": [[start, 0], [width, height]],
        }
        content = {"imageHeight": height, "imageWidth": width, "shapes": [shape]}
        (root / f"{name}.json").write_text(json.dumps(content))


def runs_of(label):
    """Alternating runs outside and inside, column by column, as COCO has them."""
    flat = label.T.ravel()
    changes = np.flatnonzero(np.diff(flat)) + 1
    return {"size": list(label.shape), "counts": np.diff([0, *changes, flat.size]).tolist()}


def coco(root, runs=False, names=None, file="export.json", categories=None):
    write_images(root / "images")
    images, annotations = [], []
    for index, name in enumerate(names or LABELS):
        label = LABELS[name]
        height, width = label.shape
        start = int(np.argmax(label[0]))
        images.append({"id": index, "file_name": f"{name}.jpg", "height": height, "width": width})
        outline = [start, -1, width + 1, -1, width + 1, height + 1, start, height + 1]
        drawn = runs_of(label) if runs else [outline]
        annotations.append({"image_id": index, "category_id": 7, "segmentation": drawn})
    categories = categories or [{"id": 7, "name": "cat"}]
    (root / file).write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )


def coco_runs(root):
    coco(root, runs=True)


def old_images_beside(root):
    """A folder in images/ is no split where there are images beside it."""
    plain(root)
    write_images(root / "images" / "old", ".png")


LAYOUTS = [
    plain,
    endings,
    beside,
    same_names,
    same_names_bmp,
    voc_without_lists,
    own_colors,
    labelme,
    coco,
    coco_runs,
    old_images_beside,
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
def test_layouts(layout, tmp_path):
    root = tmp_path / "in"
    root.mkdir()
    layout(root)
    out = tmp_path / "out"
    run_conversion(convert_folder.plan(str(root)), str(out))
    assert read_dataset_description(out).class_names == ("background", "cat")
    found = {**labels_by_name(out, "train"), **labels_by_name(out, "val")}
    assert found.keys() == LABELS.keys()
    for name, label in LABELS.items():
        np.testing.assert_array_equal(found[name], label)


def test_several_files_of_annotations_are_refused(tmp_path):
    coco(tmp_path)
    (tmp_path / "second.json").write_bytes((tmp_path / "export.json").read_bytes())
    with pytest.raises(ConversionError, match="2 files of annotations .*second.json"):
        convert_folder.plan(str(tmp_path))


def test_files_of_annotations_named_after_splits_are_the_splits(tmp_path):
    parts = {"train": ["0", "1", "2"], "val": ["3", "4"]}
    for split, names in parts.items():
        coco(tmp_path, names=names, file=f"instances_{split}.json")
    splits = convert_folder.plan(str(tmp_path)).splits
    assert {split: [item.name for item in items] for split, items in splits.items()} == parts
    coco(tmp_path, file="val_2.json")
    with pytest.raises(ConversionError, match="3 files of annotations"):
        convert_folder.plan(str(tmp_path))
    (tmp_path / "val_2.json").unlink()
    coco(tmp_path, file="instances_val.json", categories=[{"id": 7, "name": "dog"}])
    with pytest.raises(ConversionError, match="instances_val.json: categories dog; .* has cat"):
        convert_folder.plan(str(tmp_path))


def test_lists_are_the_splits(tmp_path):
    voc_without_lists(tmp_path)
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("0\n1\n2\n")
    (lists / "val.txt").write_text("3\n4\n")
    splits = convert_folder.plan(str(tmp_path)).splits
    assert {s: [i.name for i in items] for s, items in splits.items()} == {
        "train": ["0", "1", "2"],
        "val": ["3", "4"],
    }
    (lists / "val.txt").write_text("3\n9\n")
    with pytest.raises(ConversionError, match="val.txt: '9' .*no image"):
        convert_folder.plan(str(tmp_path))


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda root: [p.unlink() for p in root.glob("masks/*")], "no such|no mask|none"),
        (
            lambda root: [
                p.rename(p.with_name(f"x{9 - int(p.stem)}.png")) for p in root.glob("masks/*")
            ],
            "masks: no mask fits an image of .*images: the first is called x5.png",
        ),
        (lambda root: [p.unlink() for p in root.glob("images/*")], "no images there"),
        (lambda root: (root / "classes.txt").unlink(), "classes.txt: missing"),
    ],
)
def test_what_is_missing_is_one_line(tmp_path, spoil, message):
    plain(tmp_path)
    spoil(tmp_path)
    with pytest.raises(ConversionError, match=message) as caught:
        convert_folder.plan(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_colors_of_no_class_and_labels_of_no_class_are_named(tmp_path):
    own_colors(tmp_path)
    write_classes(tmp_path)
    with pytest.raises(ConversionError, match="colors that are no class, such as 1 2 3"):
        run_conversion(convert_folder.plan(str(tmp_path)), str(tmp_path / "out"))
    other = tmp_path / "other"
    other.mkdir()
    labelme(other)
    write_classes(other, text="background\ndog\n")
    with pytest.raises(ConversionError, match="the label 'cat' is no class; use one of"):
        run_conversion(convert_folder.plan(str(other)), str(tmp_path / "out2"))
    assert os.path.exists(tmp_path / "out2")


def test_damaged_polygons_are_all_named_and_mended_ones_go_on(tmp_path):
    folder, out = tmp_path / "in", str(tmp_path / "out")
    folder.mkdir()
    labelme(folder)
    damaged = {name: folder / f"{name}.json" for name in sorted(LABELS)[:2]}
    mended = {name: path.read_text().replace('"cat"', '"ox"') for name, path in damaged.items()}
    for path in damaged.values():
        path.write_text("{")
    with pytest.raises(ConversionError, match="2 damaged files") as caught:
        convert_folder.plan(str(folder))
    for name, path in damaged.items():
        assert f"{name}.json: not a file of shapes" in str(caught.value)
        path.write_text(mended[name])
    assert convert_folder.plan(str(folder)).class_names == ("background", "cat", "ox")
    assert sum(run_conversion(convert_folder.plan(str(folder)), out)["examples"].values()) == COUNT


def test_a_preview_shows_masks_over_their_images(tmp_path):
    (tmp_path / "in").mkdir()
    plain(tmp_path / "in")
    out = tmp_path / "out"
    flags = [f"--input_dir={tmp_path / 'in'}", f"--output_dir={out}", "--preview=3"]
    outcome = forked.run("data_prep.convert_folder", flags)
    assert sum(outcome.result["examples"].values()) == COUNT
    pictures = sorted((out / "preview").glob("*.png"))
    assert len(pictures) == 3
    with Image.open(pictures[0]) as picture:
        pixels = np.asarray(picture)
    height, width = LABELS[pictures[0].stem.partition("_")[2]].shape
    scale = pixels.shape[1] // (2 * width)
    assert pixels.shape[1] >= 400 and pixels.shape[0] > height * scale
    left, right = (pixels[2 * scale, x * scale].astype(int) for x in (width + 1, 2 * width - 2))
    assert right[0] - left[0] > 50  # The second class is dark red.


def test_damaged_notes_of_a_conversion(tmp_path):
    """Its shard is written again; without a fingerprint nothing is trusted."""
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    plain(folder)
    conversion = convert_folder.plan(str(folder))
    run_conversion(conversion, str(out))
    for damage in (b"", b"[]", b"{}", b'{"bytes": "x'):
        for note in (out / ".conversion").glob("*.tfrecord.json"):
            note.write_bytes(damage)
        assert sum(run_conversion(conversion, str(out))["examples"].values()) == len(LABELS)
    for damage in (b"", b"[5]"):
        (out / ".conversion" / "fingerprint.json").write_bytes(damage)
        with pytest.raises(ConversionError, match="fingerprint.json: damaged"):
            run_conversion(conversion, str(out))
