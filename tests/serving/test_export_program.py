"""The export and prediction programs, and TensorFlow's own, as real processes."""

import json
import os
import subprocess
import sys

import forked
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tiny_network import COLORS, jpeg, png, random_image

from adl_tf.data.normalization import normalize
from adl_tf.serving.photos import find_images
from adl_tf.serving.prediction import predict_images
from adl_tf.serving.versions import find_export


def run(*arguments, cwd=None):
    return subprocess.run(
        [sys.executable, "-m", *arguments], cwd=cwd, capture_output=True, text=True, timeout=300
    )


def test_export_then_predict(model_dir, network, tmp_path):
    output = tmp_path / "served"
    result = run("adl_tf.export", f"--model_dir={model_dir}", f"--output_dir={output}")
    assert result.returncode == 0, result.stderr
    (line,) = result.stderr.splitlines()
    assert line.startswith("next: ")
    exported = json.loads(result.stdout.splitlines()[-1])
    assert exported["export_dir"] == str(output / "1")
    assert "serving_default" in exported["signatures"]
    assert sorted(os.listdir(output)) == ["1"]
    files = ["assets", "assets.extra", "fingerprint.pb", "saved_model.pb", "variables"]
    assert sorted(os.listdir(output / "1")) == files

    folder = tmp_path / "images"
    folder.mkdir()
    image = random_image(37, 52)
    (folder / "a.png").write_bytes(png(image))
    (folder / "broken.jpg").write_bytes(b"nothing")
    (folder / "cut.jpg").write_bytes(jpeg(image)[:-600])
    (folder / "folder.png").mkdir()
    (folder / "notes.txt").write_text("no image")
    results = tmp_path / "results"
    predict = ("adl_tf.predict", f"--export_dir={output}", f"--output_dir={results}")
    result = run(*predict, str(folder))
    assert result.returncode == 1, result.stderr  # Some images failed.
    summary = json.loads(result.stdout.splitlines()[-1])
    assert summary["images"] == 1
    failed = ["broken.jpg", "cut.jpg"]
    assert summary["failed"] == [str(folder / name) for name in failed]
    for name, cause in zip(failed, ("not an image file", "does not decode")):
        (line,) = [line for line in result.stderr.splitlines() if f"{name}: skipped" in line]
        assert cause in line
    assert "3/3" in result.stderr and "not read: 1 files (1 .txt)" in result.stderr
    labels = Image.open(results / "labels" / "a.png")
    expected = np.argmax(network(normalize(image[None]), training=False)[0], -1)
    assert np.mean(np.asarray(labels) == expected) >= 0.999
    assert labels.getpalette()[: 3 * len(COLORS)] == [part for color in COLORS for part in color]
    width, height = Image.open(results / "overlays" / "a.png").size
    assert width == 52 and height > 37  # The legend is below.


def test_bad_input_is_one_line(export, tmp_path):
    predict = [f"--export_dir={export['export_dir']}", "--output_dir=out", "/no/such.png"]
    result = forked.run("adl_tf.predict", predict, cwd=str(tmp_path))
    assert result.status == 1
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "/no/such.png: no such image" in line and "Traceback" not in result.stderr
    assert os.listdir(tmp_path) == []

    with pytest.raises(FileNotFoundError, match="no export there"):
        find_export(str(tmp_path))
    with pytest.raises(ValueError, match="no images in the command"):
        find_images([], "out")
    with pytest.raises(ValueError, match=f"no images in {tmp_path}"):
        find_images([str(tmp_path)], "out")
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(ValueError, match="none of 1 images could be segmented"):
        predict_images(export["export_dir"], str(tmp_path / "out"), [str(tmp_path / "a.png")])


def test_saved_model_cli(export, tmp_path):
    program = ("tensorflow.python.tools.saved_model_cli",)
    shown = run(*program, "show", "--dir", export["export_dir"], "--all")
    assert "signature_def['serving_tensor_xla']" in shown.stdout
    np.save(tmp_path / "images.npy", random_image(24, 31)[None])
    result = run(
        *(*program, "run", "--dir", export["export_dir"], "--tag_set", "serve"),
        *("--signature_def", "serving_tensor", "--outdir", str(tmp_path)),
        *("--inputs", f"images={tmp_path / 'images.npy'}"),
    )
    assert result.returncode == 0, result.stderr
    assert np.load(tmp_path / "labels.npy").shape == (1, 24, 31)
    assert tf.io.gfile.exists(str(tmp_path / "logits.npy"))


def test_images_of_a_folder_and_of_its_folders(tmp_path, capsys):
    """What is left out is said; names stay apart; results of an earlier run are no images."""
    for path in ("a.jpg", "a.png", "b.JFIF", "x/c.webp", "y/c.webp", "y/.d.png", "masks/a.png",
                 "e.heic", "notes.txt", "out/labels/a.png", "out/overlays/a.png"):  # fmt: skip
        (tmp_path / path).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / path).touch()
    found = find_images([str(tmp_path), str(tmp_path / "a.jpg")], str(tmp_path / "out"))
    assert {name: os.path.relpath(path, tmp_path) for name, path in found.items()} == {
        "a_jpg": "a.jpg",
        "a_png": "a.png",
        "b": "b.JFIF",
        "x_c": "x/c.webp",
        "y_c": "y/c.webp",
    }
    errors = capsys.readouterr().err
    assert "left out, in folders of masks: 1 (such as masks/a.png)" in errors
    assert "not read: 2 files (1 .heic, 1 .txt)" in errors
