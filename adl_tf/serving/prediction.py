"""Segments image files with an export or a preset, without a server."""

import contextlib
import math
import os
import re
import sys
import time
from typing import Any, Dict, Iterable, Iterator, NamedTuple, Optional, Sequence, Tuple, Union

import numpy as np
import tensorflow as tf
from absl import logging
from PIL import Image
from tqdm import tqdm

from adl_tf.data.description import DatasetDescription, Size
from adl_tf.evaluation.prediction_writer import PredictionWriter
from adl_tf.models.classes import Classes, read_classes
from adl_tf.models.presets import preset_dir
from adl_tf.models.weights import load_network
from adl_tf.serving.body import Body
from adl_tf.serving.photos import TRAINING, find_images
from adl_tf.serving.servable import Servable
from adl_tf.serving.tiled_network import Part, TiledNetwork
from adl_tf.serving.versions import find_export
from adl_tf.system.files import NoRoomError, make_directory, replacing
from adl_tf.system.progress import say
from adl_tf.visualization.predictions import add_legend, colorize, overlay
from data_prep.errors import BadExample
from data_prep.images import read_pixels

# How much larger or smaller than the training's images photos are before that is said.
_ALIKE = 1.5
# Pixels of a photo; Pillow's own limit is a third of it.
_LARGEST = 2**28
# Parts of the messages of TensorFlow that name what is inside a graph, and lines that tell nothing.
_NAMES = re.compile(
    r"\[\[[^\]]*\]\]|\{\{[^}]*\}\}|\[Op:[^\]]*\]( name: \S*)?|\bassertion failed: |__\w+_\d+"
)
_NO_CAUSE = ("Graph execution error", "Detected at node", "Hint:", "Function call stack")
_ROWS = 512  # Of an overlay that are painted at a time.


class Segmenter(NamedTuple):
    """A network that segments images.

    Attributes:
      network: maps images to logits.
      classes: what its labels mean, and what it was trained on.
      origin: what it is, for the result: an `export_dir` or a `preset`.
    """

    network: TiledNetwork
    classes: Classes
    origin: Dict[str, str]


def predict_images(
    source: Union[str, Segmenter],
    output_dir: str,
    paths: Sequence[str],
    scale: Union[float, str] = 1.0,
    save_probabilities: bool = False,
) -> Dict[str, Any]:
    """Segments images of any size; one that cannot be is reported on stderr and skipped.

    Args:
      source: an export, or a directory with versions of it; or `load_preset(name)`.
      output_dir: directory of the results: `labels`, see `PredictionWriter`, `overlays` and
        `probabilities`.
      paths: image files and folders, see `find_images`.
      scale: factor by which the network sees the images larger, or `TRAINING` for their training's
        size; what is written has their own. Of no effect on an export of one size.
      save_probabilities: whether to write them, float16 [H, W, classes] as .npy files.

    Returns:
      images, how many were segmented; seconds; failed, the paths of the others; export_dir or
      preset; output_dir.

    Raises:
      FileNotFoundError: no export or no such image.
      ValueError: no images, or none that can be segmented; a scale that is not known.
    """
    segmenter = load_export(source) if isinstance(source, str) else source
    if scale == TRAINING and segmenter.classes.image_sizes is None:
        raise ValueError(
            f"--scale={TRAINING}: the size of the training's images is not known; give a number."
        )
    images = find_images(paths, output_dir)
    writer = _Writer(output_dir, segmenter.classes, save_probabilities)
    failed, start, said = [], time.monotonic(), False
    bar = tqdm(images.items(), unit="image", file=sys.stderr)
    for name, path in bar:
        try:
            with _large_images():
                photo = read_pixels(path)
            size = seen_size(photo.shape[:2], segmenter, scale)
            if not said:
                said = _say_scale(path, photo.shape[:2], size, segmenter, bar)
            # Smoothed where it becomes smaller, as the images of converters are.
            shrunk = Image.fromarray(photo).resize(size[::-1], Image.Resampling.BILINEAR)
            parts = segmenter.network.parts(
                np.asarray(shrunk), photo.shape[:2], report=bar.set_postfix_str
            )
            writer.write(name, photo, parts)
        except NoRoomError:  # For the next photo neither.
            raise
        except (BadExample, OSError, tf.errors.OpError, MemoryError) as error:
            failed.append(path)
            bar.write(f"{path}: skipped, {_cause(error)}", file=sys.stderr)
    if len(failed) == len(images):
        raise ValueError(f"none of {len(images)} images could be segmented; see the lines above.")
    say(f"Label maps are in {output_dir}/labels, overlays of them in {output_dir}/overlays.")
    return {
        "images": len(images) - len(failed),
        "seconds": round(time.monotonic() - start, 3),
        "failed": failed,
        **segmenter.origin,
        "output_dir": output_dir,
    }


def seen_size(size: Size, segmenter: Segmenter, scale: Union[float, str] = 1.0) -> Size:
    """The size that a network sees an image at, (height, width); see `predict_images`."""
    if segmenter.network.image_size:
        return segmenter.network.image_size
    factor = training_scale(size, segmenter.classes.image_sizes) if scale == TRAINING else scale
    height, width = (max(1, round(side * factor)) for side in size)
    return height, width


def training_scale(size: Size, image_sizes: Tuple[Size, Size]) -> float:
    """The factor that makes an image as large as the nearest in size of the training's images.

    Example:
      >>> training_scale((4000, 6000), ((300, 450), (400, 600)))
      0.1

    Args:
      size: (height, width) of the image.
      image_sizes: the smallest and the largest (height, width) of the training's.
    """
    pixels, smallest, largest = (math.prod(sides) for sides in (size, *image_sizes))
    return math.sqrt(min(max(pixels, smallest), largest) / pixels)


def _say_scale(path: str, size: Size, seen: Size, segmenter: Segmenter, bar) -> bool:
    """Says it if an image is seen at another scale than those of the training; whether it did."""
    sizes = segmenter.classes.image_sizes
    if sizes is None or segmenter.network.image_size:
        return False
    factor = training_scale(seen, sizes)
    if 1 / _ALIKE <= factor <= _ALIKE:
        return False
    trained = " to ".join(dict.fromkeys(f"{height}x{width}" for height, width in sizes))
    bar.write(
        f"{path} is seen at {seen[0]}x{seen[1]} pixels, but the network was trained on images of "
        f"{trained}: if these show as much, things look {1 / factor:.2g} times as large to it; "
        f"--scale={training_scale(size, sizes):.2g} or --scale={TRAINING} makes them alike.",
        file=sys.stderr,
    )
    return True


class _Writer:
    """Writes label maps, overlays and, if wanted, probabilities."""

    def __init__(self, output_dir: str, classes: Classes, save_probabilities: bool):
        self._description = DatasetDescription("", classes.class_names, classes.colors, splits={})
        self._labels = PredictionWriter(os.path.join(output_dir, "labels"), self._description)
        self._overlays = os.path.join(output_dir, "overlays")
        self._probabilities = os.path.join(output_dir, "probabilities")
        make_directory(self._overlays)
        self._save_probabilities = save_probabilities
        if save_probabilities:
            make_directory(self._probabilities)

    def write(self, name: str, photo: np.ndarray, parts: Iterable[Part]) -> None:
        """Writes the results of an image, each file whole or not at all."""
        size = photo.shape[:2]
        labels = np.zeros(size, np.uint8)
        with self._probabilities_of(name, (*size, self._description.num_classes)) as probabilities:
            for part in parts:
                place = slice(*part.rows), slice(*part.columns)
                labels[place] = part.logits.argmax(-1)
                if probabilities is not None:
                    probabilities[place] = tf.nn.softmax(part.logits).numpy()
        self._labels.write(f"{name}.png", labels)
        self._write_overlay(name, photo, labels)

    @contextlib.contextmanager
    def _probabilities_of(self, name: str, shape) -> Iterator[Optional[np.ndarray]]:
        """An array on disk to be filled; None if it is not wanted."""
        if not self._save_probabilities:
            yield None
            return
        file = os.path.join(self._probabilities, f"{name}.npy")
        with replacing(file) as temporary:
            array = np.lib.format.open_memmap(temporary, "w+", np.float16, shape)
            if hasattr(os, "posix_fallocate"):  # Otherwise a full disk would kill the process.
                with open(temporary, "r+b") as handle:
                    os.posix_fallocate(handle.fileno(), 0, os.path.getsize(temporary))
            yield array
            array.flush()

    def _write_overlay(self, name: str, photo: np.ndarray, labels: np.ndarray) -> None:
        painted = np.empty_like(photo)
        for top in range(0, len(photo), _ROWS):
            rows = slice(top, top + _ROWS)
            painted[rows] = overlay(photo[rows], colorize(labels[rows], self._description.colors))
        picture = Image.fromarray(add_legend(painted, labels, self._description))
        with replacing(os.path.join(self._overlays, f"{name}.png")) as temporary:
            picture.save(temporary, format="PNG", compress_level=3)


def load_export(export_dir: str) -> Segmenter:
    """Segments with an export, or with the newest of a directory with versions.

    Raises:
      FileNotFoundError: no export there.
      ValueError: another kind of SavedModel, or an export of a fixed batch.
    """
    export_dir = find_export(export_dir)
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.FATAL)  # TensorFlow logs tracebacks of what it can do without.
    try:
        served = tf.saved_model.load(export_dir)
        function = served.signatures["serving_tensor"]
        batch_size = function.structured_input_signature[1]["images"].shape[0]
        if batch_size in (None, 1):
            network = TiledNetwork(function)
    except Exception as error:  # Damaged files raise errors of many types.
        reason = f"not an export of adl_tf.export ({_cause(error)})"
        raise ValueError(f"{export_dir}: {reason}.") from error
    finally:
        logging.set_verbosity(verbosity)
    if batch_size not in (None, 1):
        raise ValueError(
            f"{export_dir} takes {batch_size} images at a time, but this program sends one; export "
            "without --batch_size."
        )
    classes = read_classes(os.path.join(export_dir, "assets"), network.num_classes)
    return Segmenter(network, classes, {"export_dir": export_dir})


def load_preset(name: str) -> Segmenter:
    """Segments with a network that comes with the package, without an export.

    Raises:
      ValueError: no such preset.
    """
    model_dir = preset_dir(name)
    network = load_network(model_dir)
    classes = read_classes(model_dir, network.num_classes)
    servable = Servable(Body(network), classes)  # Its signatures alone would not keep its weights.
    tiled = TiledNetwork(servable.signatures()["serving_tensor"])
    return Segmenter(tiled, classes, {"preset": name})


@contextlib.contextmanager
def _large_images() -> Iterator[None]:
    """Inside, Pillow opens images of `_LARGEST` pixels, and does not warn of those."""
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, _LARGEST
    try:
        yield
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def _cause(error: Exception) -> str:
    """The message of an error in one line, without TensorFlow's nodes and functions."""
    if isinstance(error, BadExample):
        return error.reason
    if isinstance(error, (tf.errors.ResourceExhaustedError, MemoryError)):
        return "there is not enough memory; --scale=0.5 takes a quarter"
    text = _NAMES.sub("", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    causes = [line for line in lines if not line.startswith(_NO_CAUSE)]
    return (causes or [type(error).__name__])[0].rstrip(".")
