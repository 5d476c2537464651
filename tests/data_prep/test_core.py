"""What holds for every converter, tried with the plain folder and the synthetic one."""

import json
import os
import pathlib
import resource
import signal
import subprocess
import time

import numpy as np
import pytest
from PIL import Image
from readback import command, environment, error_line, read_records, run_program

from adl_tf.data.description import read_dataset_description
from data_prep import convert_folder, convert_synthetic, core, verify
from data_prep.examples import BadExample, read_image


@pytest.fixture
def folder(tmp_path):
    """6 pairs in train and 2 in val, of 3 classes."""
    path = tmp_path / "folder"
    for split, count in (("train", 6), ("val", 2)):
        (path / "images" / split).mkdir(parents=True)
        (path / "masks" / split).mkdir(parents=True)
        for index in range(count):
            rng = np.random.RandomState(index)
            image = Image.fromarray(rng.randint(0, 255, (20, 30 + index, 3), np.uint8))
            image.save(path / "images" / split / f"{index}.jpg")
            mask = Image.fromarray(rng.choice([0, 1, 2, 255], (20, 30 + index)).astype(np.uint8))
            mask.save(path / "masks" / split / f"{index}.png")
    (path / "classes.txt").write_text("sky\nbig road 1 2 3\ncar\n")
    return path


def convert(folder, output, **options):
    return core.run(convert_folder.plan(str(folder)), str(output), **options)


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
        assert core.checksum(tmp_path / "out" / shard.file) == shard.sha256
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
    convert(folder, tmp_path / "two", num_shards=2, num_workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def break_label_missing(folder):
    (folder / "masks/train/3.png").unlink()
    return "masks/train/3.png: the label is missing; add it or remove its pair."


def break_label_size(folder):
    Image.new("L", (9, 8)).save(folder / "masks/train/3.png")
    return "masks/train/3.png: the label is 8x9, the image 20x33; give both the same size."


def break_label_id(folder):
    Image.new("L", (33, 20), 3).save(folder / "masks/train/3.png")
    return "masks/train/3.png: unknown label id 3 in 660 pixels; use ids 0..2, and 255 for"


def break_label_mode(folder):
    Image.new("RGB", (33, 20), 3).save(folder / "masks/train/3.png")
    return "masks/train/3.png: a label map of mode RGB; store class ids in an 8-bit gray or"


def break_image_truncated(folder):
    path = folder / "images/train/3.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    return "images/train/3.jpg: does not decode (image file is truncated"


def break_image_content(folder):
    (folder / "images/train/3.jpg").write_text("<html>404</html>")
    return "images/train/3.jpg: not an image file; fetch it again."


def break_name(folder):
    Image.open(folder / "images/train/3.jpg").save(folder / "images/train/3.png")
    return "images/train/3.png: the name '3' appears twice in split 'train'; rename one or remove"


BREAKS = [value for name, value in sorted(globals().items()) if name.startswith("break_")]


@pytest.mark.parametrize("damage", BREAKS)
def test_bad_example_is_named_and_the_rest_converted(folder, tmp_path, capsys, damage):
    message = damage(folder)
    summary = convert(folder, tmp_path / "out", max_errors=1)
    assert summary["skipped"] == 1
    assert sum(summary["examples"].values()) == (8 if damage is break_name else 7)
    assert f"skipped: {folder}/{message}" in capsys.readouterr().err
    assert verify.verify(str(tmp_path / "out"))["bad"] == 0


@pytest.mark.parametrize("damage", BREAKS)
def test_one_bad_example_too_many_fails(folder, tmp_path, damage):
    message = damage(folder)
    with pytest.raises(core.ConversionError) as error:
        convert(folder, tmp_path / "out")
    assert str(error.value).startswith(f"{folder}/{message}")
    assert "raise --max_errors" in str(error.value) and "\n" not in str(error.value)
    assert not (tmp_path / "out" / "dataset.json").exists()
    assert not list((tmp_path / "out").glob(".tmp*"))


def test_mended_example_is_picked_up_by_the_same_command(folder, tmp_path):
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


def test_other_inputs_are_not_mixed_in(folder, tmp_path):
    convert(folder, tmp_path / "out")
    before = contents(tmp_path / "out")
    with pytest.raises(core.ConversionError, match="holds shards of other inputs or options"):
        convert(folder, tmp_path / "out", num_shards=2)
    (folder / "classes.txt").write_text("sky\nroad\nbus\n")
    with pytest.raises(core.ConversionError, match="holds shards of other inputs or options"):
        convert(folder, tmp_path / "out")
    assert contents(tmp_path / "out") == before


def wait_for(condition, seconds=60):
    end = time.time() + seconds
    while not condition():
        assert time.time() < end, "waited in vain"
        time.sleep(0.01)


def children(pid):
    listed = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed]


def is_running(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_killed_conversion_leaves_whole_shards_and_goes_on(tmp_path):
    options = ["--num_train=300", "--num_val=1", "--num_shards=10", "--num_workers=2"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    arguments = command("convert_synthetic", f"--output_dir={killed}", *options)
    process = subprocess.Popen(arguments, env=environment(), stderr=subprocess.DEVNULL)
    wait_for(lambda: len(list(killed.glob("train-*"))) >= 2)
    workers = children(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_for(lambda: not any(map(is_running, workers)))
    survivors = {p: p.stat().st_mtime_ns for p in killed.glob("train-*")}
    assert 2 <= len(survivors) < 11 and not (killed / "dataset.json").exists()

    resumed, summary = run_program("convert_synthetic", f"--output_dir={killed}", *options)
    assert resumed.returncode == 0, resumed.stderr
    assert summary["examples"] == {"train": 300, "val": 1}
    # The last survivor may have been renamed and not yet noted when the signal came.
    kept = [p for p, mtime in survivors.items() if p.stat().st_mtime_ns == mtime]
    assert len(kept) >= len(survivors) - 1
    convert_synthetic.build(whole, num_train=300, num_val=1)
    keys = ("class_pixels", "ignored_pixels", "examples")
    train = [
        json.loads((d / "dataset.json").read_text())["splits"]["train"] for d in (killed, whole)
    ]
    assert all(train[0][key] == train[1][key] for key in keys)
    assert verify.verify(str(killed)) == {"examples": 301, "bad": 0}
    assert not list(killed.glob(".tmp*"))


def test_interrupted_conversion_ends_in_one_line(tmp_path):
    """Ctrl-C reaches the whole group of processes."""
    arguments = command("convert_synthetic", f"--output_dir={tmp_path}", "--num_train=2000")
    process = subprocess.Popen(
        [*arguments, "--num_shards=100", "--num_workers=2"],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    wait_for(lambda: len(list(tmp_path.glob("train-*"))) >= 10)
    workers = children(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in errors
    assert "interrupted; the same command goes on where it stopped." in errors
    wait_for(lambda: not any(map(is_running, workers)))


def test_two_conversions_of_one_directory_take_turns(tmp_path):
    arguments = command("convert_synthetic", f"--output_dir={tmp_path}", "--num_train=100")
    pair = [subprocess.Popen(arguments, env=environment(), stderr=subprocess.DEVNULL) for _ in "12"]
    assert [process.wait() for process in pair] == [0, 0]
    assert verify.verify(str(tmp_path)) == {"examples": 116, "bad": 0}


def test_image_of_too_many_pixels_is_a_bad_example(folder, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(BadExample, match="0.jpg: too large .*600 pixels"):
        read_image(str(folder / "images/train/0.jpg"))


def test_no_space_left(tmp_path):
    """A limit on the size of files, since a full disk cannot be had."""
    arguments = [f"--output_dir={tmp_path}", "--num_workers=1", "--num_shards=2"]
    process, _ = run_program(
        "convert_synthetic",
        *arguments,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000)),
    )
    line = error_line(process)
    assert "train-00000-of-00002.tfrecord: cannot be written" in line and "make room" in line
    assert not list(tmp_path.glob("*.tfrecord")) and not list(tmp_path.glob(".tmp*"))
    process, summary = run_program("convert_synthetic", *arguments)
    assert process.returncode == 0 and summary["examples"] == {"train": 64, "val": 16}


def test_output_that_is_no_directory(folder, tmp_path):
    (tmp_path / "out").write_text("")
    with pytest.raises(core.ConversionError, match="out.*: cannot be written"):
        convert(folder, tmp_path / "out")


def test_command_line(folder, tmp_path):
    arguments = [f"--input_dir={folder}", f"--output_dir={tmp_path / 'out'}", "--num_workers=1"]
    process, summary = run_program("convert_folder", *arguments)
    assert process.returncode == 0 and len(process.stdout.splitlines()) == 1
    assert summary == {"examples": {"train": 6, "val": 2}, "shards": 6, "skipped": 0}
    assert "8/8" in process.stderr  # The progress bar.

    process, summary = run_program("verify", tmp_path / "out")
    assert process.returncode == 0 and summary == {"examples": 8, "bad": 0}


def test_command_line_names_what_is_wrong(folder, tmp_path):
    process, _ = run_program("convert_folder", f"--input_dir={tmp_path / 'x'}", "--output_dir=y")
    assert "x/classes.txt: missing; write one class name per line." in error_line(process)
    break_label_missing(folder)
    arguments = [f"--input_dir={folder}", f"--output_dir={tmp_path / 'out'}"]
    process, _ = run_program("convert_folder", *arguments)
    assert "masks/train/3.png: the label is missing" in error_line(process)
    process, _ = run_program("verify", tmp_path / "nowhere")
    assert "no such data set directory" in error_line(process)
    process, _ = run_program("convert_folder")
    assert process.returncode != 0 and "input_dir" in process.stderr
