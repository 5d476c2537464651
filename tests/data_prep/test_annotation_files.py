"""Where files of annotations and the images that they name are."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from readback import labels_by_name

from data_prep import convert_folder
from data_prep.annotation_files import ImageIndex
from data_prep.errors import ConversionError
from data_prep.folders import read_paths
from data_prep.run import run_conversion


def write(root, file, images, names=None):
    """A file of annotations about these images, whose right half is a cat; the images are drawn."""
    entries, notes = [], []
    for index, path in enumerate(images):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 6)).save(root / path)
        name = names[index] if names else path
        entries.append({"id": index, "file_name": name, "height": 6, "width": 8})
        outline = [4, -1, 9, -1, 9, 7, 4, 7]
        notes.append({"id": index, "image_id": index, "category_id": 1, "segmentation": [outline]})
    content = {"images": entries, "annotations": notes}
    (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / file).write_text(json.dumps({**content, "categories": [{"id": 1, "name": "cat"}]}))


EXPORTS = {
    "Roboflow": ("train/_annotations.coco.json", "train/a_jpg.rf.1.jpg", "a_jpg.rf.1.jpg"),
    "COCO": ("annotations/instances_train2017.json", "train2017/0.jpg", "0.jpg"),
    "CVAT": ("annotations/instances_default.json", "images/default/x 1.png", "x 1.png"),
    "CVAT, folders": ("annotations/instances_default.json", "images/default/s/1.png", "s/1.png"),
    "Label Studio": ("result.json", "images/0a1b2c3d-cat.jpg", "images\\\\1\\\\0a1b2c3d-cat.jpg"),
    "uploads": ("result.json", "images/cat.jpg", "/data/upload/1/0a1b2c3d-cat.jpg"),
    "local files": ("result.json", "pics/my cat.jpg", "/data/local-files/?d=pics/my%20cat.jpg"),
    "Windows": ("labels/all.json", "photos/a/1.bmp", "C:\\Users\\me\\photos\\a\\1.bmp"),
    "beside the file": ("sub/coco.json", "sub/img/1.jpg", "img/1.jpg"),
    "above the file": ("annotations/coco.json", "img/1.jpg", "../img/1.jpg"),
    "here": ("coco.json", "1.jfif", "./1.jfif"),
}


@pytest.mark.parametrize("file, image, name", EXPORTS.values(), ids=EXPORTS)
def test_exports_of_tools(tmp_path, file, image, name):
    root = tmp_path / "in"
    other = image.replace("1.", "2.").replace("0.", "7.").replace("cat.", "dog.")
    names = [name, name.replace("1.", "2.").replace("0.", "7.").replace("cat.", "dog.")]
    write(root, file, [image, other], [n.replace("\\\\", "\\") for n in names])
    run_conversion(convert_folder.plan(str(root)), str(tmp_path / "out"))
    labels = [*labels_by_name(tmp_path / "out", "train").values()]
    labels += labels_by_name(tmp_path / "out", "val").values()
    assert len(labels) == 2
    for label in labels:
        np.testing.assert_array_equal(label, [[0] * 4 + [1] * 4] * 6)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "b", "train", "val", "images"]), max_size=3),
    st.integers(0, 3),
    st.sampled_from(["/", "\\"]),
    st.sampled_from(["", "/data/upload/", "C:\\"]),
)
def test_the_image_with_most_folders_in_common_is_found(folders, dropped, separator, before):
    """However much of its path the file tells, and whatever it has before that."""
    path = "/".join([*folders, "1.jpg"])
    parts = path.split("/")[min(dropped, len(folders)) :]
    others = [p for p in ("z/1.jpg", "a/2.jpg", "y/x/1.jpg") if p != path]
    files = read_paths(sorted([path, *(others if len(parts) > 1 else others[1:2])]))
    (annotations,) = read_paths(["labels/all.json"])
    found = ImageIndex("in", files).find(before + separator.join(parts), annotations, "")
    assert found == f"in/{path}"


def test_names_that_two_splits_share_are_those_of_their_split(tmp_path):
    root = tmp_path / "in"
    for split in ("train", "valid"):
        write(root, f"{split}/_annotations.coco.json", [f"{split}/1.jpg"], ["1.jpg"])
        write(root, f"other/instances_{split}.json", [f"{split}/1.jpg"], ["1.jpg"])
    (root / "other").rename(tmp_path / "other")
    splits = convert_folder.plan(str(root)).splits
    expected = {"train": [f"{root}/train/1.jpg"], "val": [f"{root}/valid/1.jpg"]}
    assert {s: [i.image for i in items] for s, items in splits.items()} == expected
    for split in ("train", "valid"):
        (root / split / "_annotations.coco.json").unlink()
    (tmp_path / "other").rename(root / "other")
    splits = convert_folder.plan(str(root)).splits
    assert {s: [i.image for i in items] for s, items in splits.items()} == expected


def test_folders_of_images_tell_the_splits_that_one_file_does_not(tmp_path):
    write(tmp_path, "all.json", ["train/1.jpg", "train/2.jpg", "val/3.jpg"])
    splits = convert_folder.plan(str(tmp_path)).splits
    assert {s: len(items) for s, items in splits.items()} == {"train": 2, "val": 1}


def test_what_files_and_folders_lack_is_said(tmp_path, capsys):
    """An image that no file names, and one that is named but is not there."""
    root = tmp_path / "in"
    write(root, "all.json", [f"images/{i}.jpg" for i in range(6)])
    (root / "images" / "5.jpg").rename(root / "images" / "9.jpg")
    with pytest.raises(ConversionError, match=r"5\.jpg: the image is missing; .* 1 bad"):
        run_conversion(convert_folder.plan(str(root)), str(tmp_path / "out"))
    errors = capsys.readouterr().err
    assert "no file of annotations names: 1 (such as images/9.jpg)" in errors


def test_masks_and_annotations_are_two_ways(tmp_path):
    write(tmp_path, "all.json", [f"images/{i}.jpg" for i in range(3)])
    (tmp_path / "masks").mkdir()
    for i in range(3):
        Image.new("L", (8, 6), i % 2).save(tmp_path / f"masks/{i}.png")
    (tmp_path / "classes.txt").write_text("a\nb\n")
    with pytest.raises(ConversionError, match=r"--masks='masks/\*' or --masks='\*.json'"):
        convert_folder.plan(str(tmp_path))
    assert convert_folder.plan(str(tmp_path), masks="masks/*").class_names == ("a", "b")
    assert convert_folder.plan(str(tmp_path), masks="*.json").class_names == ("background", "cat")
