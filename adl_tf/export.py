"""Exports a trained network as a SavedModel for TensorFlow Serving.

python -m adl_tf.export --model_dir=DIR --output_dir=DIR [--image_size=H,W --batch_size=N]
    [--dtype=float32|bfloat16|float16] [--outputs=labels,probabilities,logits]
    [--xla=auto|on|off] [--lite]

Each run adds a version, OUTPUT_DIR/1, OUTPUT_DIR/2, ...
"""

import contextlib
import os
import shutil
import sys
import tempfile
from typing import Any, Dict, Optional, Sequence, Tuple

from absl import flags

from adl_tf.configuration import run_program  # isort: skip

import numpy as np
import tensorflow as tf

from adl_tf.evaluation.prediction_writer import make_directory
from adl_tf.models.classes import read_classes
from adl_tf.models.network import load_network
from adl_tf.profile import parse_image_size
from adl_tf.serving.body import POLICIES, Body, precision
from adl_tf.serving.lite import write_lite
from adl_tf.serving.servable import MAX_PIXELS, OUTPUTS, Servable
from adl_tf.serving.versions import versions
from adl_tf.serving.warmup import write_warmup

# What folding may change of a logit, as a share of the largest one or of 1.
TOLERANCE = 1e-4
# Of the images that the export is checked with where it leaves the size open.
_CHECK_SIZE = (129, 161)


def export_network(
    model_dir: str,
    output_dir: str,
    checkpoint: str = "best",
    batch_size: Optional[int] = None,
    image_size: Optional[Tuple[int, int]] = None,
    dtype: str = "float32",
    outputs: Sequence[str] = ("labels",),
    xla: str = "auto",
    max_pixels: int = MAX_PIXELS,
    lite: bool = False,
) -> Dict[str, Any]:
    """Writes a new version of an export, whole or not at all.

    Args:
      model_dir: of a training run.
      output_dir: holds the versions.
      checkpoint: "best", "last" or a path; see `load_network`.
      batch_size, image_size: of the network's input; None for sizes that vary.
      dtype: what the network computes in; its logits are float32 always.
      outputs: labels, and if wanted probabilities and logits.
      xla: whether `serving_default` is compiled: "on", "off", or "auto" for on if there is
        a GPU here.
      max_pixels: most pixels of an image that is decoded.
      lite: whether to add a file for TensorFlow Lite.

    Returns:
      export_dir, version, signatures, dtype; batch_norms left; logit_difference of the folded
      network; labels_equal, the share of pixels labelled as in float32, both on a random
      image; lite_labels_equal, the same share for TensorFlow Lite, if wanted; warmup, how
      many requests were recorded.

    Raises:
      FileNotFoundError: no trained network there.
      ValueError: unknown outputs, a directory that cannot be made, or TensorFlow Lite for an
        open size or another dtype than float32.
    """
    unknown = [name for name in outputs if name not in OUTPUTS]
    if unknown or "labels" not in outputs:
        raise ValueError(
            f"outputs {list(outputs)}: choose some of {', '.join(OUTPUTS)}, labels among them."
        )
    if lite and (image_size is None or dtype != "float32"):
        raise ValueError(
            "TensorFlow Lite takes images of one size, in float32: give --image_size=H,W and "
            "leave --dtype out."
        )
    network = load_network(model_dir, checkpoint)
    classes = read_classes(model_dir, network.num_classes)
    make_directory(output_dir)

    shape = (batch_size or 1, *(image_size or _CHECK_SIZE), 3)
    images = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    expected = network(images, training=False).numpy()
    body = Body(network, batch_size, image_size)
    difference = _difference(body, images, expected)
    folded = difference <= TOLERANCE
    if not folded:
        _say(f"folding batch norms would change logits by {difference:.2g}: they are kept.")
    if dtype != "float32" or not folded:
        with precision(dtype):
            body = Body(load_network(model_dir, checkpoint), batch_size, image_size, folded)
    labels = _run(body, images).argmax(-1)

    compiled = xla == "on" or (xla == "auto" and bool(tf.config.list_physical_devices("GPU")))
    servable = Servable(body, classes, outputs, compiled, max_pixels)
    signatures = servable.signatures()
    temporary = tempfile.mkdtemp(dir=output_dir, prefix=".export-")
    try:
        with _stderr_closed():
            tf.saved_model.save(servable, temporary, signatures=signatures)
            if lite:
                lite_labels_equal = write_lite(body, temporary)
        warmup = write_warmup(temporary, servable.image_bytes, servable.images, max_pixels)
        if not warmup:
            _say("no warm-up requests: they need pip install 'adl-tf[serving]'.")
        os.chmod(temporary, 0o755)  # mkdtemp makes it private.
        version, export_dir = _add_version(temporary, output_dir)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    result = {
        "export_dir": export_dir,
        "version": version,
        "signatures": sorted(signatures),
        "dtype": dtype,
        "batch_norms": body.batch_norms,
        "logit_difference": difference,
        "labels_equal": float(np.mean(labels == expected.argmax(-1))),
        "warmup": warmup,
    }
    return {**result, "lite_labels_equal": lite_labels_equal} if lite else result


def _add_version(folder, output_dir):
    """Moves a finished export into place, behind those that others added meanwhile."""
    while True:
        version = 1 + max(versions(output_dir), default=0)
        export_dir = os.path.join(output_dir, str(version))
        try:
            os.rename(folder, export_dir)
            return version, export_dir
        except OSError:
            if not os.path.exists(export_dir):
                raise


def _run(body, images):
    return tf.function(body, autograph=False)(tf.constant(images)).numpy()


def _difference(body, images, expected):
    difference = np.abs(_run(body, images) - expected).max()
    return float(difference / max(1.0, np.abs(expected).max()))


@contextlib.contextmanager
def _stderr_closed():
    """Keeps TensorFlow's notes on names and constants, kilobytes of them, from the user.

    Some are not written by Python, so they have no level of logging that could be set.
    """
    saved = os.dup(2)
    with open(os.devnull, "w", encoding="utf-8") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def _say(text):
    print(text, file=sys.stderr)


def main() -> Dict[str, Any]:
    """Runs the program on its flags."""
    options = flags.FLAGS
    return export_network(
        os.path.expanduser(options.model_dir),
        os.path.expanduser(options.output_dir),
        os.path.expanduser(options.checkpoint),
        options.batch_size,
        parse_image_size(options.image_size) if options.image_size else None,
        options.dtype,
        options.outputs,
        options.xla,
        options.max_pixels,
        options.lite,
    )


if __name__ == "__main__":
    flags.DEFINE_string("model_dir", None, "Directory of a training run.", required=True)
    flags.DEFINE_string("output_dir", None, "Directory of the versions.", required=True)
    flags.DEFINE_string("checkpoint", "best", "best, last, or path of a checkpoint.")
    flags.DEFINE_integer("batch_size", None, "Images per request [any].", lower_bound=1)
    flags.DEFINE_list("image_size", None, "Height and width of the network's input [any].")
    flags.DEFINE_enum("dtype", "float32", list(POLICIES), "What the network computes in.")
    flags.DEFINE_list("outputs", ["labels"], f"Some of {', '.join(OUTPUTS)}.")
    flags.DEFINE_enum("xla", "auto", ["auto", "on", "off"], "Whether the default is compiled.")
    flags.DEFINE_integer("max_pixels", MAX_PIXELS, "Most pixels of an image.", lower_bound=1)
    flags.DEFINE_bool("lite", False, "Add a file for TensorFlow Lite.")
    run_program(main)
