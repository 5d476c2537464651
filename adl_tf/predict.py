"""Segments images with an exported network, without a server.

python -m adl_tf.predict --export_dir=DIR --output_dir=DIR IMAGE-or-FOLDER...

Writes OUTPUT_DIR/labels/NAME.png, whose pixels are class ids with a palette, and
OUTPUT_DIR/overlays/NAME.png.
"""

import os
import sys
import time
from typing import Any, Dict, List, Sequence

from absl import flags

from adl_tf.configuration import run_program  # isort: skip

import numpy as np
import tensorflow as tf
from PIL import Image
from tqdm import tqdm

from adl_tf.data.description import DatasetDescription
from adl_tf.evaluation.prediction_writer import PredictionWriter, make_directory
from adl_tf.serving.versions import versions
from adl_tf.visualization.predictions import OPACITY, colorize

SUFFIXES = (".jpg", ".jpeg", ".png")
_SAVED_MODEL = "saved_model.pb"


def find_export(export_dir: str) -> str:
    """The SavedModel's folder: the directory itself, or the newest version in it.

    Raises:
      FileNotFoundError: neither.
    """
    newest_first = reversed(versions(export_dir))
    for folder in (export_dir, *(os.path.join(export_dir, str(n)) for n in newest_first)):
        if os.path.exists(os.path.join(folder, _SAVED_MODEL)):
            return folder
    raise FileNotFoundError(
        f"{export_dir}: no export there; make one with python -m adl_tf.export."
    )


def find_images(paths: Sequence[str]) -> List[str]:
    """Files as they are, folders as the JPEG and PNG files in them, by name.

    Raises:
      FileNotFoundError: no such file or folder.
      ValueError: no images, or two that would have label maps of one name.
    """
    images: List[str] = []
    for path in map(os.path.expanduser, paths):
        if os.path.isdir(path):
            names = sorted(name for name in os.listdir(path) if name.lower().endswith(SUFFIXES))
            images += [os.path.join(path, name) for name in names]
        elif os.path.exists(path):
            images.append(path)
        else:
            raise FileNotFoundError(f"{path}: no such image or folder.")
    if not images:
        raise ValueError(
            f"no images in {', '.join(paths) or 'the command'}: name files, or folders with "
            f"{', '.join(SUFFIXES)} files."
        )
    seen: Dict[str, str] = {}
    for image in images:
        name = os.path.splitext(os.path.basename(image))[0]
        if name in seen:
            raise ValueError(
                f"{image}: its label map would have the name of that of {seen[name]}; segment "
                "them in two runs with an --output_dir each."
            )
        seen[name] = image
    return images


def predict_images(export_dir: str, output_dir: str, paths: Sequence[str]) -> Dict[str, Any]:
    """Segments images; one that cannot be read is reported on stderr and left out.

    Args:
      export_dir: an export, or a directory with versions of it.
      output_dir: of the results.
      paths: image files and folders.

    Returns:
      images, how many were segmented; seconds; failed, the paths of the others.

    Raises:
      FileNotFoundError: no export or no such image.
      ValueError: no images, or none that can be read.
    """
    export_dir = find_export(export_dir)
    images = find_images(paths)
    try:
        served = tf.saved_model.load(export_dir)
        function = served.signatures["serving_default"]
        classes = {name: value.numpy() for name, value in served.signatures["classes"]().items()}
    except (KeyError, OSError, tf.errors.OpError) as error:
        raise ValueError(f"{export_dir}: not an export of adl_tf.export ({error}).") from error
    batch_size = function.structured_input_signature[1]["image_bytes"].shape[0]
    if batch_size not in (None, 1):
        raise ValueError(
            f"{export_dir} takes {batch_size} images at a time, and this program sends one; export "
            "without --batch_size."
        )
    description = DatasetDescription(
        name=export_dir,
        class_names=tuple(name.decode() for name in classes["names"]),
        colors=tuple(map(tuple, classes["colors"].tolist())),
        splits={},
    )
    labels = PredictionWriter(os.path.join(output_dir, "labels"), description)
    overlays = os.path.join(output_dir, "overlays")
    make_directory(overlays)
    failed, start = [], time.monotonic()
    for path in tqdm(images, unit="image", file=sys.stderr):
        try:
            with open(path, "rb") as file:
                content = file.read()
            (prediction,) = function(image_bytes=tf.constant([content]))["labels"].numpy()
        except (OSError, tf.errors.InvalidArgumentError) as error:
            failed.append(path)
            tqdm.write(f"{path}: left out, {_cause(error)}", file=sys.stderr)
            continue
        name = os.path.basename(labels.write(path, prediction))
        image = tf.io.decode_image(content, channels=3, expand_animations=False).numpy()
        colored = colorize(prediction, description.colors)
        overlay = np.rint((1 - OPACITY) * image + OPACITY * colored).astype(np.uint8)
        Image.fromarray(overlay).save(os.path.join(overlays, name), compress_level=3)
    if len(failed) == len(images):
        raise ValueError(f"none of {len(images)} images could be read; the lines above say why.")
    return {
        "images": len(images) - len(failed),
        "seconds": round(time.monotonic() - start, 3),
        "failed": failed,
        "export_dir": export_dir,
        "output_dir": output_dir,
    }


def _cause(error):
    """The line of a message that says what is wrong; TensorFlow's have others before it."""
    lines = str(error).splitlines()
    causes = [line for line in lines if "assertion failed: " in line or "Invalid" in line]
    return (causes or lines)[0].replace("assertion failed: ", "")


def main(paths: Sequence[str]) -> Dict[str, Any]:
    """Runs the program on its flags and arguments."""
    options = flags.FLAGS
    return predict_images(
        os.path.expanduser(options.export_dir), os.path.expanduser(options.output_dir), paths
    )


if __name__ == "__main__":
    flags.DEFINE_string("export_dir", None, "Directory of an export.", required=True)
    flags.DEFINE_string("output_dir", None, "Directory of the results.", required=True)
    run_program(main, arguments=True)
