"""Photos and masks as they come: turned, two-valued, damaged, misnamed."""

import io
import json
import os

import commands
import forked
import numpy as np
import pytest
from PIL import ExifTags, Image, ImageOps

from adl_tf.data.description import DatasetDescription
from adl_tf.serving import rest_client
from adl_tf.visualization.confusion import draw_confusion
from adl_tf.visualization.figure import figure_to_image
from data_prep import convert_folder
from data_prep.errors import BadExample, ConversionError
from data_prep.images import decodable, read_image, read_pixels
from data_prep.mask_pixels import read_label
from data_prep.run import run_conversion

RANDOM = np.random.default_rng(0)


def photo(orientation, size=(12, 20), form="JPEG", mode="RGB"):
    """A file whose Exif data turn it."""
    channels = {"RGB": (3,), "L": (), "RGBA": (4,), "P": ()}[mode]
    pixels = RANDOM.integers(0, 256, (*size, *channels), dtype=np.uint8)
    image = Image.fromarray(pixels, mode)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    buffer = io.BytesIO()
    image.save(buffer, form, exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form, mode", [("JPEG", "RGB"), ("PNG", "RGB"), ("PNG", "RGBA")])
def test_photos_are_read_as_they_are_shown(tmp_path, orientation, form, mode, count):
    content = photo(orientation, form=form, mode=mode)
    path = tmp_path / f"photo.{form.lower()}"
    path.write_bytes(content)
    with Image.open(path) as image:
        shown = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
    stored, kind, size = read_image(str(path))
    assert size == shown.shape[:2] and kind == ("png" if orientation > 1 else form.lower())
    for found in (stored, decodable(content), rest_client.decodable(content)):
        with Image.open(io.BytesIO(found)) as image:
            assert image.getexif().get(ExifTags.Base.Orientation, 1) == 1
            np.testing.assert_array_equal(np.asarray(image.convert("RGB")), shown)
    np.testing.assert_array_equal(read_pixels(str(path)), shown)
    count("photos and inputs", 1)


@pytest.mark.parametrize("orientation", range(2, 9))
def test_masks_are_turned_like_photos(tmp_path, orientation, count):
    path = tmp_path / "mask.png"
    path.write_bytes(photo(orientation, form="PNG", mode="L"))
    with Image.open(path) as image:
        shown = np.asarray(ImageOps.exif_transpose(image))
    np.testing.assert_array_equal(read_label(str(path)), shown)
    count("photos and inputs", 1)


def test_damaged_photos_are_bad_examples(tmp_path, count):
    """Cut ones, and those whose Exif data are damaged."""
    for form in ("PNG", "JPEG"):
        content = photo(6, form=form)
        path = tmp_path / f"photo.{form}"
        for end in range(20, len(content) - 20, len(content) // 7):
            path.write_bytes(content[:end])
            with pytest.raises(BadExample):
                read_image(str(path))
            decodable(content[:end])
            rest_client.decodable(content[:end])
        broken = content.replace(b"MM\x00*", b"XX\x00\x01").replace(b"II*\x00", b"XX\x01\x00")
        assert decodable(broken) == rest_client.decodable(broken) == broken
        count("photos and inputs", 8)


@pytest.mark.parametrize("content", [b"", b"text", b"\x89PNG\r\n\x1a\n", photo(6)[:60]])
def test_what_is_no_image_is_left_alone(content, count):
    assert decodable(content) == rest_client.decodable(content) == content
    count("photos and inputs", 1)


def make_folder(path, masks, classes="back\nobject\n", suffix=".png"):
    """A folder of images with these masks."""
    for part in ("images", "masks"):
        os.makedirs(path / part)
    for index, mask in enumerate(masks):
        mask = np.asarray(mask, np.uint8)
        Image.new("RGB", mask.shape[::-1]).save(path / "images" / f"{index}.jpg")
        Image.fromarray(mask).save(path / "masks" / f"{index}{suffix}")
    (path / "classes.txt").write_bytes(classes if isinstance(classes, bytes) else classes.encode())
    return str(path)


def convert(folder, output, **options):
    return run_conversion(convert_folder.plan(folder, **options), str(output))


def test_masks_of_0_and_255(tmp_path, capsys, count):
    """What was seen is said, and the option makes classes of them."""
    folder = make_folder(tmp_path / "in", [[[0, 255, 0]]] * 5)
    convert(folder, tmp_path / "lost")
    assert "nothing but 0 (back) and 255, which is ignored" in capsys.readouterr().err
    convert(folder, tmp_path / "kept", mask_values=[0, 255])
    with open(tmp_path / "kept" / "dataset.json") as file:
        splits = json.load(file)["splits"].values()
    assert [sum(s["class_pixels"][i] for s in splits) for i in (0, 1)] == [10, 5]
    assert "warning" not in capsys.readouterr().err
    for wrong in ([0], [0, 0], [0, 1, 2]):
        with pytest.raises(ConversionError, match="one value for each of the 2 classes"):
            convert_folder.plan(folder, mask_values=wrong)
    other = make_folder(tmp_path / "other", [[[0, 9]]] * 5)
    with pytest.raises(ConversionError, match="unknown label id 9"):
        convert(other, tmp_path / "out", mask_values=[0, 255])
    count("photos and inputs", 5)


@pytest.mark.parametrize(
    "masks, message",
    [
        ([[[0, 0]]] * 5, "no pixels of class object"),
        ([[[0, 1, 255, 255, 255]]] * 5, "60% of the pixels of train are ignored"),
    ],
)
def test_odd_data_sets_are_warned_of(tmp_path, capsys, masks, message, count):
    convert(make_folder(tmp_path / "in", masks), tmp_path / "out")
    assert f"warning: {message}" in capsys.readouterr().err
    count("photos and inputs", 1)


def test_a_class_in_val_alone_is_warned_of(tmp_path, capsys, count):
    root = tmp_path / "in"
    for split, value in (("train", 0), ("val", 1)):
        for part in ("images", "masks"):
            os.makedirs(root / part / split)
        Image.new("RGB", (4, 3)).save(root / "images" / split / "a.jpg")
        Image.new("L", (4, 3), value).save(root / "masks" / split / "a.png")
    (root / "classes.txt").write_text("back\nobject\n")
    convert(str(root), tmp_path / "out")
    assert "class object is in other splits, but not in train" in capsys.readouterr().err
    count("photos and inputs", 1)


def test_names_with_a_mark_at_the_start_or_in_another_encoding(tmp_path, count):
    plan = convert_folder.plan(make_folder(tmp_path / "a", [[[0]]], classes="\ufeffback\nobject\n"))
    assert plan.class_names == ("back", "object")
    folder = make_folder(tmp_path / "b", [[[0]]], classes="Stra\xdfe\n".encode("latin-1"))
    with pytest.raises(ConversionError, match="classes.txt: not UTF-8"):
        convert_folder.plan(folder)
    count("photos and inputs", 2)


def test_bad_files_are_listed_and_mended_inputs_go_on(tmp_path, capsys, count):
    folder = make_folder(tmp_path / "in", [[[0, 1]]] * 30)
    broken = [tmp_path / "in" / "images" / f"{index}.jpg" for index in range(14)]
    good = broken[0].read_bytes()
    for path in broken:
        path.write_bytes(b"broken")
    with pytest.raises(ConversionError, match="14 bad examples, 0 allowed"):
        convert(folder, tmp_path / "out")
    errors = capsys.readouterr().err
    assert errors.count("not an image file") == 1 and "And 13 more of this kind" in errors
    for path in broken[1:]:
        path.write_bytes(good)
    with pytest.raises(ConversionError, match=r"0.jpg: .* 1 bad example, 0 allowed"):
        convert(folder, tmp_path / "out")
    broken[0].unlink()  # The list of inputs is another one now.
    (tmp_path / "in" / "masks" / "0.png").unlink()
    assert sum(convert(folder, tmp_path / "out")["examples"].values()) == 29
    assert sum(convert(folder, tmp_path / "out", mask_values=[0, 1])["examples"].values()) == 29
    count("photos and inputs", 14)


@pytest.mark.parametrize("name", ["$x", "a$b$c", "$\\frac{", "100$", "_^{}", "$$"])
def test_names_are_no_formulas(name, count):
    description = DatasetDescription(
        name=name, class_names=(name, "other"), colors=((0, 0, 0), (9, 9, 9)), splits={}
    )
    pixels = figure_to_image(draw_confusion(np.array([[3, 1], [2, 4]]), description))
    assert pixels.std() > 0
    count("photos and inputs", 1)


def test_names_are_no_formulas_in_an_evaluation(tmp_path, count):
    """From a folder to the pages, class names and names of files."""
    folder = tmp_path / "$in$"
    make_folder(folder, [[[0, 1] * 20] * 40] * 5, classes="$a$b\n_{c}^$\n")
    for part, end in (("images", "jpg"), ("masks", "png")):
        os.rename(folder / part / f"0.{end}", folder / part / f"$\\frac{{.{end}")
    records, network = str(tmp_path / "records"), str(tmp_path / "network")
    convert(str(folder), records)
    for module, arguments in (
        ("adl_tf.train", commands.train(records, network)),
        ("adl_tf.evaluate", commands.evaluate(network)),
    ):
        outcome = forked.run(module, arguments)
        assert outcome.status == 0, outcome.stderr[-3000:]
    page = (tmp_path / "network" / "evaluation" / "index.html").read_text()
    assert "$a$b" in page and "_{c}^$" in page
    count("photos and inputs", 1)


@pytest.mark.parametrize("images, options", [(1, {}), (3, {"val_fraction": 0.0})])
def test_without_val_a_training_runs_and_says_that_nothing_is_scored(
    tmp_path, capsys, images, options, count
):
    """One image, or no share for val; a split that is asked for by name must be there."""
    folder = make_folder(tmp_path / "in", [[[0, 1] * 20] * 40] * images)
    records, network = str(tmp_path / "records"), str(tmp_path / "network")
    assert convert(folder, records, **options)["examples"] == {"train": images}
    assert f"no val: all {images} images are train, and nothing will be" in capsys.readouterr().err
    outcome = forked.run("adl_tf.train", commands.train(records, network, "BATCH_SIZE = 1"))
    assert outcome.status == 0, outcome.stderr[-3000:]
    assert f"{records} has no split val: nothing is scored" in outcome.stderr
    assert outcome.result["val_miou"] is outcome.result["best_val_miou"] is None
    assert os.listdir(os.path.join(network, "best")) and os.path.exists(f"{network}/metrics.jsonl")
    wrong = commands.train(records, network + "2", "RunData.val_split = 'vall'")
    assert "no split 'vall'; choose from train" in forked.run("adl_tf.train", wrong).error
    count("silent", 3)


def test_two_images_are_one_to_train_on_and_one_to_score(tmp_path, count):
    folder = make_folder(tmp_path / "in", [[[0, 1]]] * 2)
    assert convert(folder, tmp_path / "out")["examples"] == {"train": 1, "val": 1}
    count("silent", 1)


def test_auto_takes_the_flags_of_converters(streets, tmp_path, count):
    out = f"--output_dir={tmp_path / 'out'}"
    outcome = forked.run("adl_tf.auto", [f"--input={streets}", out, "--mask_values=0,255"])
    assert "records already: leave out --mask_values=0,255" in outcome.error
    (tmp_path / "in").mkdir()
    flags = [f"--input={tmp_path / 'in'}", out, "--val_sequence=8"]
    outcome = forked.run("adl_tf.auto", flags)
    assert "--val_sequence: the folder is read by convert_folder" in outcome.error
    count("silent", 2)
