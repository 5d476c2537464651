"""Which mask belongs to which image, by names alone: common layouts, and any mixture of them."""

import collections
import pathlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_prep import naming
from data_prep.errors import ConversionError
from data_prep.folders import find_class_files, read_paths
from data_prep.layout import explore
from data_prep.pairing import find_ways

ROOT = "in"


def pairs(paths, **patterns):
    """{split: {image: mask}} of a folder with these files, and its notes and faults."""
    found = explore(ROOT, read_paths(sorted(paths)), **patterns)
    cut = len(ROOT) + 1
    by_split = {
        split: {i.image[cut:]: i.label and i.label[cut:] for i in items}
        for split, items in found.splits.items()
    }
    return by_split, " ".join(found.notes), [str(fault) for fault in found.faults]


def numbered(*patterns, count=4, start=1):
    """{image: mask} of two patterns of paths."""
    return {patterns[0].format(i): patterns[1].format(i) for i in range(start, start + count)}


# Of each tool or data set, its two patterns and the split that they tell.
LAYOUTS = {
    "plain": ("images/{}.jpg", "masks/{}.png", ""),
    "Roboflow": ("train/im{}_jpg.rf.0a.jpg", "train/im{}_jpg.rf.0a_mask.png", "train"),
    "valid": ("valid/images/im{}.jpg", "valid/masks/im{}.png", "val"),
    "Carvana": ("train/a{}.jpg", "train_masks/a{}_mask.gif", "train"),
    "CamVid": ("trainannot/{}.png", "train/{}.png", "swapped"),
    "ADE20K": ("images/training/A_{}.jpg", "annotations/training/A_{}.png", "train"),
    "keras": ("images_prepped_test/{}.png", "annotations_prepped_test/{}.png", "test"),
    "DRIVE": ("training/images/{}_training.tif", "training/1st_manual/{}_manual1.gif", "train"),
    "CHASE": ("Image_{}L.jpg", "Image_{}L_1stHO.png", ""),
    "STARE": ("im{}.ppm", "im{}.ah.ppm", ""),
    "DeepGlobe": ("train/{}_sat.jpg", "train/{}_mask.png", "train"),
    "ISIC": ("ISIC_Input/ISIC_{}.jpg", "ISIC_Truth/ISIC_{}_segmentation.png", ""),
    "Supervisely": ("ds/img/x {}.jpeg", "ds/masks_machine/x {}.jpeg.png", ""),
    "Pascal": ("JPEGImages/{}.jpg", "SegmentationClass/{}.png", ""),
    "COCO-like": ("images/train2017/{}.jpg", "labels/train2017/{}.png", "train"),
    "Cityscapes": (
        "leftImg8bit/val/a/a_{}_leftImg8bit.png",
        "gtFine/val/a/a_{}_gtFine_labelIds.png",
        "val",
    ),
    "prefixes": ("images/img_{}.jpg", "label/mask_{}.png", ""),
    "BUSI": ("benign/benign ({}).png", "benign/benign ({})_mask.png", ""),
    "labelme": ("{}.jpg", "{}.json", ""),
    "names alike": ("photos/{}.bmp", "photos/{}.png", ""),
    "deeper": ("images/site/day/{}.jfif", "masks/site/day/{}.png", ""),
    "flat masks": ("images/site/{}.JPG", "masks/{}.PNG", ""),
    "per site": ("site/images/{}.jpg", "site/masks/{}.tiff", ""),
    "unknown folder": ("images/{}.jpg", "ergebnis/{}.png", ""),
    "two unknown folders": ("aufnahmen/{}.jpg", "ergebnis/{}_x.png", ""),
    "masks as JPEG": ("images/{}.jpg", "masks/{}.jpg", ""),
}


@pytest.mark.parametrize("image, mask, split", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts_of_tools_and_data_sets(image, mask, split):
    if split == "swapped":
        image, mask, split = mask, image, "train"
    expected = numbered(image, mask)
    found, notes, faults = pairs([*expected, *expected.values()])
    assert found == {split: expected} and not faults
    assert "4 pairs as" in notes and "left out" not in notes


WORDS = st.sampled_from(["a", "b7", "IMG", "cat", "x-y", "scan 1"])
SPLIT_WORDS = {
    "train": ["train", "training", "Train"],
    "val": ["val", "valid", "validation"],
    "test": ["test", "testing"],
}


@st.composite
def folders_of_pairs(draw):
    """({split: {image: mask}}, files beside): any mixture of what folders and names do."""
    image_word = draw(st.sampled_from(["images", "imgs", "JPEGImages", "image", "photos"]))
    mask_word = draw(
        st.sampled_from(["masks", "label", "annotations", "SegmentationClass", "1st_manual", "gt"])
    )
    beside = draw(st.booleans())
    place = draw(st.sampled_from(["outside", "inside", "joined"]))
    ending = draw(st.sampled_from(["", "_mask", "-mask", "_1stHO", "_L", ".ah", "_seg"]))
    ending = ending if not beside or ending else "_annotation"
    suffixes = draw(st.sampled_from([(".jpg", ".png"), (".png", ".png"), (".jfif", ".gif")]))
    stems = draw(st.lists(WORDS, min_size=1, max_size=2, unique=True))
    count = draw(st.integers(3, 6))
    subfolder = draw(st.sampled_from(["", "site1/", "site1/day 2/"]))
    by_split = {}
    for split in draw(
        st.sampled_from([[""], ["train"], ["train", "val"], ["train", "val", "test"]])
    ):
        name = draw(st.sampled_from(SPLIT_WORDS[split])) if split else ""
        pair = {}
        for stem in stems:
            for i in range(count):
                path = subfolder + f"{stem}_{i:03d}"
                sides = []
                for word, end in ((image_word, suffixes[0]), (mask_word, ending + suffixes[1])):
                    parts = (
                        [name]
                        if beside
                        else {
                            "outside": [name, word],
                            "inside": [word, name],
                            "joined": [f"{name}_{word}" if name else word],
                        }[place]
                    )
                    sides.append("/".join([p for p in parts if p] + [path + end]))
                pair[sides[0]] = sides[1]
        by_split[split] = pair
    return by_split


@settings(max_examples=150, deadline=None)
@given(folders_of_pairs(), st.data())
def test_any_mixture_is_paired_as_meant_and_what_lacks_a_partner_is_named(by_split, data):
    everything = {i: m for pair in by_split.values() for i, m in pair.items()}
    paths = [*everything, *everything.values()]
    assert pairs(paths)[0] == by_split
    # Without one mask, its image is a fault; without one image, its mask is named.
    image = data.draw(st.sampled_from(sorted(everything)))
    some = {s: {i: m for i, m in p.items() if i != image} for s, p in by_split.items()}
    found, notes, faults = pairs([p for p in paths if p != everything[image]])
    assert found == some
    assert len(faults) == 1 and faults[0].startswith(f"{ROOT}/{image}: no mask fits its name")
    found, notes, faults = pairs([p for p in paths if p != image])
    assert found == some and not faults
    assert f"masks without an image: 1 (such as {everything[image]})" in notes


@pytest.mark.parametrize(
    "masks, choice, expected",
    [
        ("masks/{}.png labels/{}.png", "*labels/*", "labels/{}.png"),
        ("images/{}_mask.png images/{}_gt.png", "*_gt.png", "images/{}_gt.png"),
        ("1st_manual/{}_manual1.gif 2nd_manual/{}_manual2.gif", "*2nd_manual/*",
         "2nd_manual/{}_manual2.gif"),
        ("labels/{}.json labels/{}.png", "*.json", "labels/{}.json"),
        ("masks/{}.png masks/{}.bmp", "*.bmp", "masks/{}.bmp"),
    ],
)  # fmt: skip
def test_where_two_fit_the_user_is_asked_and_the_answer_followed(masks, choice, expected):
    paths = [p for mask in masks.split(" ") for p in numbered(mask, mask)]
    images = [f"images/{i}.jpg" for i in range(1, 5)]
    with pytest.raises(ConversionError, match="two ways to pair fit alike") as caught:
        pairs([*images, *paths])
    assert f"--masks='{choice}'" in str(caught.value)
    found, *_ = pairs([*images, *paths], masks=choice)
    assert found == {"": numbered("images/{}.jpg", expected)}


def test_two_folders_of_images_for_the_same_masks():
    paths = [f"{folder}/{i}.png" for folder in ("images", "photos", "masks") for i in range(3)]
    with pytest.raises(ConversionError, match=r"--images='\*images/\*' or --images='\*photos/\*'"):
        pairs(paths)
    found, notes, _ = pairs(paths, images="*photos/*")
    assert found == {"": numbered("photos/{}.png", "masks/{}.png", count=3, start=0)}
    assert "in other folders: 3 (such as images/0.png" in notes


def test_more_masks_win_and_the_others_are_named():
    paths = [f"images/{i}.jpg" for i in range(5)] + [f"masks/{i}.png" for i in range(5)]
    found, notes, faults = pairs([*paths, *(f"labels/{i}.png" for i in range(3))])
    assert found == {"": numbered("images/{}.jpg", "masks/{}.png", count=5, start=0)}
    assert "not used: 3 pairs as images/0.jpg with labels/0.png" in notes and not faults


def test_several_suffixes_and_endings_add_up():
    expected = {
        **numbered("images/{}.jpg", "masks/{}.png", count=3),
        **numbered("images/{}.jfif", "masks/{}.bmp", start=10),
        **numbered("images/{}.png", "masks/{}_mask.png", count=2, start=20),
    }
    found, _, faults = pairs([*expected, *expected.values()])
    assert found == {"": expected} and not faults


def test_two_photos_of_one_name_leave_one_out():
    expected = numbered("images/{}.jpg", "masks/{}.png")
    found, notes, faults = pairs([*expected, *expected.values(), "images/1.png"])
    assert found == {"": expected} and not faults
    assert "another image of the name is used: 1 (such as images/1.png)" in notes


def test_names_are_unique_where_folders_share_them():
    expected = {
        **numbered("images/a/{}.jpg", "masks/a/{}.png"),
        **numbered("images/b/{}.jpg", "masks/b/{}.png"),
    }
    found = explore(ROOT, read_paths(sorted([*expected, *expected.values()])))
    assert [item.name for item in found.splits[""]][:2] == ["images_a_1", "images_a_2"]
    assert naming.unique_names(["a.jpg", "a.png", "b.c.png"]) == ["a_jpg", "a_png", "b.c"]


def test_a_test_split_may_be_without_masks_but_no_other():
    train = numbered("train/images/{}.jpg", "train/masks/{}.png")
    test = [f"test/images/{i}.jpg" for i in range(3)]
    files = read_paths([*train, *train.values(), *test])
    found = explore(ROOT, files)
    assert found.unlabelled == ("test",) and [i.label for i in found.splits["test"]] == [None] * 3
    assert "test has no masks: 3" in " ".join(found.notes)
    with pytest.raises(ConversionError, match="in/valid/images: no mask fits .*0.jpg; .* val"):
        explore(ROOT, read_paths([*train, *train.values(), "valid/images/0.jpg"]))


def test_folders_without_masks_are_left_out_and_named():
    expected = numbered("images/{}.jpg", "masks/{}.png")
    more = ["images/old/1.jpg", "images/old/9.jpg", "preview/1.png", "notes.txt", "images/5.heic"]
    found, notes, faults = pairs([*expected, *expected.values(), *more])
    assert found == {"": expected} and not faults
    assert "images of folders without masks: 2 (such as images/old/1.jpg" in notes
    assert "in other folders: 1 (such as preview/1.png)" in notes
    assert "not read: 2 files" in notes and "1 .heic" in notes


def test_other_splits_with_the_name_of_one_stay_splits_of_their_own():
    paths = [f"{part}/{split}/{i}.png" for part in ("images", "masks")
             for split in ("train", "train_extra", "val") for i in range(2)]  # fmt: skip
    assert set(pairs(paths)[0]) == {"train", "train_extra", "val"}


@pytest.mark.parametrize(
    "paths, message",
    [
        ("notes.txt a.heic", r"in: no images there, .*1 \.heic.*; put them into in/images"),
        ("masks/1.png masks/2.png", "in: masks in in/masks, but no images"),
        ("images/1.jpg images/2.jpg", "in/masks: no masks there, of 2 images in in/images"),
        ("train/images/1.jpg train/images/2.jpg", "in/train/masks: no masks there"),
        ("1.jpg 2.jpg", "in/masks: no masks there, of 2 images in in;"),
        (
            "JPEGImages/1.jpg AnnotationsVisualization/1.jpg",
            "in/masks: no masks there, of 1 images",
        ),
        ("images/a.jpg images/b.jpg masks/c.png masks/d.png", "in/masks: no mask fits an image of"),
        ("images/1.jpg images/2.jpg masks/8.png masks/9.png", "the first is called 8.png"),
    ],
)
def test_messages_name_the_folder_that_was_meant(paths, message):
    with pytest.raises(ConversionError, match=message) as caught:
        pairs(paths.split())
    assert "\n" not in str(caught.value)


def test_the_folder_above_is_named_if_that_of_the_images_was_given():
    with pytest.raises(ConversionError, match=r"images/masks: no masks there.* Give .*/mine if"):
        explore("mine/images", read_paths(["1.jpg"]))


def test_one_image_and_its_mask():
    assert pairs(["images/photo.jpg", "masks/drawn.png"])[0] == {
        "": {"images/photo.jpg": "masks/drawn.png"}
    }


def test_names_that_are_alike_by_chance_are_no_rule():
    """Neighbouring numbers, and few of many."""
    images, masks = read_paths(["images/1.jpg"] * 1), read_paths(["masks/2.png", "masks/3.png"])
    assert not find_ways(ROOT, images, masks)
    images = read_paths([f"images/{name}.jpg" for name in ("red_1", "blue_2", "old_3", "new_4")])
    masks = read_paths([f"masks/{name}.png" for name in ("cat_1", "dog_8", "cow_9", "ox_7")])
    assert not find_ways(ROOT, images, masks)


def test_the_outermost_class_file_comes_first():
    files = read_paths(["train/_classes.csv", "masks/labels.txt", "labelmap.txt", "a/classes.txt"])
    assert find_class_files(files) == [
        *("labelmap.txt", "a/classes.txt", "masks/labels.txt", "train/_classes.csv"),
    ]
    assert find_class_files(read_paths(["images/1.jpg"])) == []


def test_many_files_take_little_work(monkeypatch):
    """Names are compared for a sample only."""
    compared = collections.Counter()
    derive = naming._derive
    monkeypatch.setattr(naming, "_derive", lambda *a: compared.update(["all"]) or derive(*a))
    expected = numbered("images/img_{:05d}.jpg", "masks/img_{:05d}_x.png", count=3000)
    assert pairs([*expected, *expected.values()])[0] == {"": expected}
    assert compared["all"] <= 2 * 50 * 30


def test_written_folders_and_hidden_files_are_no_input(tmp_path):
    from data_prep.folders import list_files

    for path in ("images/1.jpg", ".x/2.jpg", "__MACOSX/3.jpg", "images/._1.jpg", "run/auto.json",
                 "run/classes.png"):  # fmt: skip
        file = pathlib.Path(tmp_path, path)
        file.parent.mkdir(exist_ok=True)
        file.touch()
    (tmp_path / "loop").symlink_to(tmp_path)
    assert [f.path for f in list_files(str(tmp_path))] == ["images/1.jpg"]
