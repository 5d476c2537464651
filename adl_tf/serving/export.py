"""Exports a trained network as a SavedModel: folds it, checks it, writes it as a new version.

What an export contains is in `servable`.
"""

import contextlib
import os
import shutil
import tempfile
from typing import Any, Dict, Optional, Sequence

import numpy as np
import tensorflow as tf

from adl_tf.configuration import say
from adl_tf.data.description import Size
from adl_tf.files import make_directory, writing
from adl_tf.models.classes import read_classes
from adl_tf.models.registry import load_network
from adl_tf.serving.body import Body, precision
from adl_tf.serving.lite import write_lite
from adl_tf.serving.servable import MAX_PIXELS, OUTPUTS, Servable
from adl_tf.serving.versions import add_version
from adl_tf.serving.warmup import write_warmup

# How much folding may change a logit, as a share of the largest one or of 1.
TOLERANCE = 1e-4
# Of the images that check an export of any size.
_CHECK_SIZE = (129, 161)


def export_network(
    model_dir: str,
    output_dir: str,
    checkpoint: str = "best",
    batch_size: Optional[int] = None,
    image_size: Optional[Size] = None,
    dtype: str = "float32",
    outputs: Sequence[str] = ("labels",),
    xla: str = "auto",
    max_pixels: int = MAX_PIXELS,
    lite: bool = False,
) -> Dict[str, Any]:
    """Writes a new version of an export atomically.

    Args:
      model_dir: of a training run.
      output_dir: holds the versions.
      checkpoint: "best", "last" or a path; see `load_network`.
      batch_size, image_size: of the network's input, (height, width) in pixels; None for sizes
        that vary.
      dtype: what the network computes in; its logits are float32 always.
      outputs: labels, and optionally probabilities and logits.
      xla: whether `serving_default` is compiled: "on", "off", or "auto" for on if there is
        a GPU here.
      max_pixels: largest image that is decoded.
      lite: whether to add a TensorFlow Lite file.

    Returns:
      export_dir, version, signatures, dtype; batch_norms left; logit_difference of the folded
      network; labels_equal, the share of pixels labelled as in float32, both on a random
      image; warmup, how many requests were recorded; with `lite`, lite_labels_equal, the share of
      pixels labelled by TensorFlow Lite as by the network.

    Raises:
      FileNotFoundError: no trained network there.
      ValueError: unknown outputs, a directory that cannot be created, or TensorFlow Lite for an
        open size or another dtype than float32.
    """
    _check_options(image_size, dtype, outputs, lite)
    network = load_network(model_dir, checkpoint)
    classes = read_classes(model_dir, network.num_classes)
    make_directory(output_dir)

    shape = (batch_size or 1, *(image_size or _CHECK_SIZE), 3)
    images = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    expected = network(images, training=False).numpy()
    body = Body(network, batch_size, image_size)
    difference = _largest_difference(_run(body, images), expected)
    folded = difference <= TOLERANCE
    if not folded:
        say(f"folding batch norms would change logits by {difference:.2g}: they are kept.")
    if dtype != "float32" or not folded:
        with precision(dtype):
            body = Body(load_network(model_dir, checkpoint), batch_size, image_size, folded)
    labels = _run(body, images).argmax(-1)

    compiled = xla == "on" or (xla == "auto" and bool(tf.config.list_physical_devices("GPU")))
    servable = Servable(body, classes, outputs, compiled, max_pixels)
    return {
        **_write_version(output_dir, servable, body, max_pixels, lite),
        "dtype": dtype,
        "batch_norms": body.batch_norms,
        "logit_difference": difference,
        "labels_equal": float(np.mean(labels == expected.argmax(-1))),
    }


def _check_options(
    image_size: Optional[Size], dtype: str, outputs: Sequence[str], lite: bool
) -> None:
    unknown = [name for name in outputs if name not in OUTPUTS]
    if unknown or "labels" not in outputs:
        raise ValueError(
            f"outputs {list(outputs)}: choose from {', '.join(OUTPUTS)}; labels is required."
        )
    if lite and (image_size is None or dtype != "float32"):
        raise ValueError(
            "TensorFlow Lite needs a fixed image size and float32: give --image_size=H,W and "
            "leave --dtype out."
        )


def _run(body: Body, images: np.ndarray) -> np.ndarray:
    return tf.function(body, autograph=False)(tf.constant(images)).numpy()


def _largest_difference(logits: np.ndarray, expected: np.ndarray) -> float:
    """As a share of the largest expected logit, or of 1."""
    return float(np.abs(logits - expected).max() / max(1.0, np.abs(expected).max()))


def _write_version(
    output_dir: str, servable: Servable, body: Body, max_pixels: int, lite: bool
) -> Dict[str, Any]:
    """Writes an export to a temporary directory and moves it into place; returns what it holds."""
    signatures = servable.signatures()
    temporary = tempfile.mkdtemp(dir=output_dir, prefix=".export-")
    try:
        with writing(output_dir), _stderr_closed():
            tf.saved_model.save(servable, temporary, signatures=signatures)
            lite_result = {"lite_labels_equal": write_lite(body, temporary)} if lite else {}
        warmup = write_warmup(temporary, servable.image_bytes, servable.images, max_pixels)
        if not warmup:
            say("no warm-up requests: they need pip install 'adl-tf[serving]'.")
        os.chmod(temporary, 0o755)  # mkdtemp makes it private.
        version, export_dir = add_version(temporary, output_dir)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return {
        "export_dir": export_dir,
        "version": version,
        "signatures": sorted(signatures),
        "warmup": warmup,
        **lite_result,
    }


@contextlib.contextmanager
def _stderr_closed():
    """Hides kilobytes of TensorFlow's log on names and constants from the user.

    Some of it does not come from Python, so no log level hides it.
    """
    saved = os.dup(2)
    with open(os.devnull, "w", encoding="utf-8") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
