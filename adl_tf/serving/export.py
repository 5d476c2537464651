"""Exports a trained network as a SavedModel: folds it, checks it, writes it as a new version.

What an export contains is in `servable`.
"""

import contextlib
import os
import sys
from typing import Any, Callable, Dict, Optional, Sequence, Tuple

import numpy as np
import tensorflow as tf

from adl_tf.data.description import Size
from adl_tf.models.classes import read_classes
from adl_tf.models.weights import load_network
from adl_tf.serving.body import Body, precision
from adl_tf.serving.edge_check import (
    CHECKED,
    TYPICAL,
    Samples,
    check_edge,
    fault_of,
    label_samples,
    random_samples,
    read_samples,
)
from adl_tf.serving.edge_files import FORMATS, labels_of, write_edge
from adl_tf.serving.options import MAX_PIXELS, SAVED_MODEL, check_options
from adl_tf.serving.servable import Servable
from adl_tf.serving.versions import add_version
from adl_tf.serving.warmup import write_warmup
from adl_tf.system.files import make_directory, staging_folder
from adl_tf.system.progress import Progress, say

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
    formats: Sequence[str] = (SAVED_MODEL,),
    int8: bool = False,
) -> Dict[str, Any]:
    """Writes a new version of an export atomically.

    Args:
      model_dir: model directory of a training run.
      output_dir: holds the versions.
      checkpoint: "best", "last" or a path; see `load_network`.
      batch_size, image_size: batch size and (height, width) in pixels of the network's input; None
        for sizes that vary.
      dtype: what the network computes in; its logits are float32 always.
      outputs: labels, and optionally probabilities and logits.
      xla: whether `serving_default` is compiled: "on", "off", or "auto" for on if there is
        a GPU here.
      max_pixels: largest image that is decoded.
      formats: "saved_model", which is always written, and files beside it, see `FORMATS`.
      int8: whether to add their files of 8-bit integers, quantized by training images.

    Returns:
      export_dir, version, signatures, dtype; batch_norms left; logit_difference of the folded
      network; labels_equal, the share of pixels labelled as in float32, both on a random
      image; warmup, how many requests were recorded; files, see `check_edge`, by the names of
      the files beside the SavedModel; failed, why some of them were left out.

    Raises:
      FileNotFoundError: no trained network there, or not the images to quantize by.
      ValueError: unknown outputs or formats, a directory that cannot be created, files for an open
        size or another dtype than float32, or a library that is not installed.
    """
    edges = [name for name in formats if name != SAVED_MODEL]
    check_options(batch_size, image_size, dtype, outputs, formats, int8)
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
        **_write_version(
            output_dir,
            servable,
            max_pixels,
            lambda export_dir: _write_edges(export_dir, model_dir, body, edges, int8),
        ),
        "dtype": dtype,
        "batch_norms": body.batch_norms,
        "logit_difference": difference,
        "labels_equal": float(np.mean(labels == expected.argmax(-1))),
    }


def _write_edges(
    export_dir: str, model_dir: str, body: Body, edges: Sequence[str], int8: bool
) -> Dict[str, Any]:
    """Writes the files beside the SavedModel, and removes those that label otherwise."""
    if not edges:
        return {}
    samples, typical = _read_images(model_dir, tuple(body.spec.shape[1:3]), int8)
    function = labels_of(body)
    kinds = [(name, None) for name in edges]
    kinds += [(name, typical) for name in edges if int8 and FORMATS[name].int8_file]
    # In images: the network labels them, a file is quantized by them, and labels them too.
    checked, quantized = len(samples.images), len(typical if int8 else ())
    units = checked * (1 + len(kinds)) + quantized * sum(images is not None for _, images in kinds)
    files, failed = {}, []
    with contextlib.closing(Progress(units)) as bar:
        bar.announce("the network labels images")
        expected = label_samples(function, samples)
        bar.advance(checked)
        for name, images in kinds:
            bar.announce(f"{name} is written" + (" in 8 bits" if images is not None else ""))
            with _quiet():
                path = write_edge(name, body, function, export_dir, images)
            file = os.path.basename(path)
            bar.advance(quantized if images is not None else 0)
            bar.announce(f"{file} is checked")
            result = check_edge(path, expected, samples, body.num_classes)
            bar.advance(checked)
            fault = fault_of(result, int8=images is not None)
            if fault:
                failed.append(f"{file}: {fault}")
                bar.line(f"{file} is left out: {fault}.")
                _remove_edge(path)
            else:
                files[file] = result
    return {"files": files, **({"failed": failed} if failed else {})}


def _read_images(model_dir: str, size: Size, int8: bool) -> Tuple[Samples, Optional[np.ndarray]]:
    """Images to check files by, and those to quantize by if `int8`."""
    try:
        samples = read_samples(model_dir, "val", size, CHECKED)
        typical = read_samples(model_dir, "train", size, TYPICAL).images if int8 else None
        return samples, typical
    except (OSError, ValueError) as error:
        if int8:
            raise ValueError(f"--int8 quantizes by the training images: {error}") from error
        say(f"checked with noise: {error}")
        return random_samples(size), None


def _remove_edge(path: str) -> None:
    for part in (path, f"{os.path.splitext(path)[0]}.bin"):  # OpenVINO's weights.
        if os.path.exists(part):
            os.remove(part)


def _run(body: Body, images: np.ndarray) -> np.ndarray:
    return tf.function(body, autograph=False)(tf.constant(images)).numpy()


def _largest_difference(logits: np.ndarray, expected: np.ndarray) -> float:
    """As a share of the largest expected logit, or of 1."""
    return float(np.abs(logits - expected).max() / max(1.0, np.abs(expected).max()))


def _write_version(
    output_dir: str,
    servable: Servable,
    max_pixels: int,
    write_more: Callable[[str], Dict[str, Any]],
) -> Dict[str, Any]:
    """Writes an export to a temporary directory and moves it into place; returns what it holds."""
    signatures = servable.signatures()
    with staging_folder(output_dir, "export") as folder:
        with _quiet():
            tf.saved_model.save(servable, folder, signatures=signatures)
        more = write_more(folder)
        warmup = write_warmup(folder, servable.image_bytes, servable.images, max_pixels)
        if not warmup:
            say("no warm-up requests: they need pip install 'adl-tf[serving]'.")
        os.chmod(folder, 0o755)  # Temporary ones are private.
        version, export_dir = add_version(folder, output_dir)
    return {
        "export_dir": export_dir,
        "version": version,
        "signatures": sorted(signatures),
        "warmup": warmup,
        **more,
    }


@contextlib.contextmanager
def _quiet():
    """Hides what converters tell: kilobytes on names, constants and their progress.

    Some of it does not come from Python, so no log level hides it.
    """
    sys.stdout.flush()
    saved = [os.dup(handle) for handle in (1, 2)]
    with open(os.devnull, "w", encoding="utf-8") as nothing:
        for handle in (1, 2):
            os.dup2(nothing.fileno(), handle)
    try:
        yield
    finally:
        sys.stdout.flush()
        for handle, copy in zip((1, 2), saved):
            os.dup2(copy, handle)
            os.close(copy)
