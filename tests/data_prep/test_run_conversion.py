"""What holds for every converter, tried with the plain folder."""

import functools

import numpy as np
import pytest
from PIL import Image
from readback import hidden, read_records

from adl_tf.data.description import read_dataset_description
from data_prep import convert_folder, processes, verify
from data_prep.errors import ConversionError
from data_prep.run import run_conversion
from data_prep.shards import checksum


def convert(folder, output, **options):
    return run_conversion(convert_folder.plan(str(folder)), str(output), **options)


def contents(directory):
    return {p.name: p.read_bytes() for p in directory.glob("*") if p.is_file()}


def test_shards_and_description(folder, tmp_path):
    summary = convert(folder, tmp_path / "out", num_shards=4)
    assert summary == {"examples": {"train": 6, "val": 2}, "shards": 6, "skipped": 0}
    description = read_dataset_description(tmp_path / "out")
    assert description.class_names == ("sky", "big road", "car")
    assert description.colors[1] == (1, 2, 3)
    train = description.splits["train"]
    assert [s.file for s in train.shards] == [f"train-{i:05d}-of-00004.tfrecord" for i in range(4)]
    assert (train.min_size, train.max_size) == ((20, 30), (20, 35))
    masks = [np.array(Image.open(folder / f"masks/train/{i}.png")) for i in range(6)]
    counts = np.bincount(np.concatenate([mask.ravel() for mask in masks]), minlength=256)
    assert train.class_pixels == tuple(counts[:3]) and train.ignored_pixels == counts[255]
    for shard in train.shards:
        assert checksum(tmp_path / "out" / shard.file) == shard.sha256
    assert set(contents(tmp_path / "out")) == {
        "dataset.json",
        "val-00000-of-00002.tfrecord",
        "val-00001-of-00002.tfrecord",
        *(shard.file for shard in train.shards),
    }


def test_jpeg_and_png_bytes_are_stored_as_they_are_and_others_as_png(folder, tmp_path):
    images = folder / "images" / "train"
    pixels = Image.open(images / "0.jpg").convert("RGB")
    (images / "0.jpg").unlink()
    pixels.save(images / "0.bmp")
    Image.open(images / "1.jpg").save(images / "1.png")
    (images / "1.jpg").unlink()
    convert(folder, tmp_path / "out")
    records = {record["name"]: record for record in read_records(tmp_path / "out", "train")}
    assert records["2"]["bytes"] == (images / "2.jpg").read_bytes()
    assert records["1"]["bytes"] == (images / "1.png").read_bytes()
    assert [records[name]["format"] for name in "012"] == ["png", "png", "jpeg"]
    np.testing.assert_array_equal(records["0"]["image"], np.array(pixels))


def test_processes_write_the_same_bytes(folder, tmp_path):
    convert(folder, tmp_path / "one", num_shards=2)
    convert(
        folder,
        tmp_path / "two",
        num_shards=2,
        write=functools.partial(processes.write, num_workers=2),
    )
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def break_label_missing(folder):
    (folder / "masks/train/3.png").unlink()
    return f"images/train/3.jpg: no mask fits its name; add it to {folder}/masks/train, or remove"


def break_label_size(folder):
    Image.new("L", (9, 8)).save(folder / "masks/train/3.png")
    return "masks/train/3.png: the label is 8x9, the image 20x33; give both the same size."


def break_label_id(folder):
    Image.new("L", (33, 20), 3).save(folder / "masks/train/3.png")
    return "masks/train/3.png: unknown label id 3 in 660 pixels; use ids 0..2, and 255 for"


def break_label_mode(folder):
    Image.new("RGB", (33, 20), 3).save(folder / "masks/train/3.png")
    return "masks/train/3.png: colors that are no class, such as 3 0 0; store class ids"


def break_image_truncated(folder):
    path = folder / "images/train/3.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    return "images/train/3.jpg: does not decode (image file is truncated"


def break_image_content(folder):
    (folder / "images/train/3.jpg").write_text("<html>404</html>")
    return "images/train/3.jpg: not an image file; download it again."


BREAKS = [value for name, value in sorted(globals().items()) if name.startswith("break_")]


@pytest.mark.parametrize("damage", BREAKS)
def test_bad_example_is_named_and_the_rest_converted(folder, tmp_path, capsys, damage):
    message = damage(folder)
    summary = convert(folder, tmp_path / "out", max_errors=1)
    assert summary["skipped"] == 1
    assert sum(summary["examples"].values()) == 7
    assert f"skipped: {folder}/{message}" in capsys.readouterr().err
    assert verify.verify(str(tmp_path / "out"))["bad"] == 0


@pytest.mark.parametrize("damage", BREAKS)
def test_one_bad_example_too_many_fails(folder, tmp_path, damage):
    message = damage(folder)
    with pytest.raises(ConversionError) as error:
        convert(folder, tmp_path / "out")
    assert str(error.value).startswith(f"{folder}/{message}")
    assert "raise --max_errors" in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "out" / "dataset.json").exists()
    assert hidden(tmp_path / "out") == {".conversion"}


def test_fixed_example_is_picked_up_by_the_same_command(folder, tmp_path):
    path = folder / "masks/train/3.png"
    good = path.read_bytes()
    path.unlink()
    assert convert(folder, tmp_path / "out", max_errors=1)["skipped"] == 1
    path.write_bytes(good)
    assert convert(folder, tmp_path / "out", max_errors=1)["skipped"] == 0
    convert(folder, tmp_path / "fresh")
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


def test_finished_conversion_is_left_alone(folder, tmp_path):
    convert(folder, tmp_path / "out")
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("*.tfrecord")}
    summary = convert(folder, tmp_path / "out")
    assert summary["examples"] == {"train": 6, "val": 2}
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out").glob("*.tfrecord")} == before


def test_changed_inputs_and_options_are_converted_again(folder, tmp_path, capsys):
    """The result is that of a conversion into an empty directory; only what changed is written."""
    out = tmp_path / "out"

    def again(name, changed, **options):
        capsys.readouterr()
        convert(folder, out, **options)
        assert (f"changed since: {changed} of 8 shards" in capsys.readouterr().err) == bool(changed)
        convert(folder, tmp_path / name, **options)
        assert contents(out) == contents(tmp_path / name)
        assert verify.verify(str(out))["bad"] == 0

    again("first", 0, num_shards=6)
    mask = np.array(Image.open(folder / "masks/train/3.png"))
    Image.fromarray(np.where(mask == 1, 2, mask)).save(folder / "masks/train/3.png")
    again("mask", 1, num_shards=6)
    (folder / "classes.txt").write_text("sky\nroad\nbus\n")
    again("classes", 8, num_shards=6)
    again("shards", 0, num_shards=2)
    (folder / "images/val/1.jpg").unlink()
    (folder / "masks/val/1.png").unlink()
    again("image", 0, num_shards=2)


def test_another_folder_is_not_mixed_in(folder, tmp_path):
    convert(folder, tmp_path / "out")
    before = contents(tmp_path / "out")
    folder.rename(tmp_path / "other")
    with pytest.raises(ConversionError, match="out: holds shards of .*folder; delete"):
        convert(tmp_path / "other", tmp_path / "out")
    assert contents(tmp_path / "out") == before


def test_all_faults_are_listed_at_once_by_kind(folder, tmp_path, capsys):
    """With counts and three examples; once they are mended, the same command goes on."""
    good = {path: path.read_bytes() for path in folder.rglob("*.*") if path.is_file()}
    for index in range(4):
        Image.new("L", (30 + index, 20), 7 + index).save(folder / f"masks/train/{index}.png")
    (folder / "images/train/4.jpg").write_text("<html>404</html>")
    (folder / "masks/train/5.png").unlink()
    with pytest.raises(ConversionError) as error:
        convert(folder, tmp_path / "out", max_errors=5)
    assert "6 bad examples of 3 kinds, 5 allowed" in str(error.value)
    assert "\n" not in str(error.value)
    lines = [x for x in capsys.readouterr().err.splitlines() if x.startswith("skipped: ")]
    assert len(lines) == 3
    masks = [str(folder / f"masks/train/{index}.png") for index in range(4)]
    assert lines[0].startswith(f"skipped: {masks[0]}: unknown label id 7 in 600 pixels")
    assert f"And 3 more of this kind, such as {masks[1]}, {masks[2]}." in lines[0]
    for path, content in good.items():
        path.write_bytes(content)
    assert convert(folder, tmp_path / "out")["skipped"] == 0
    convert(folder, tmp_path / "fresh")
    assert contents(tmp_path / "out") == contents(tmp_path / "fresh")


def test_output_that_is_not_a_directory(folder, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(ConversionError, match="out.*: cannot be written"):
        convert(folder, tmp_path / "out")
