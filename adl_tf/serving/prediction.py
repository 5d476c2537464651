"""Segments image files with an export or a preset, without a server."""

import os
import sys
import time
from typing import Any, Callable, Dict, NamedTuple, Sequence, Union

import numpy as np
import tensorflow as tf
from absl import logging
from PIL import Image
from tqdm import tqdm

from adl_tf.data.description import Color, DatasetDescription
from adl_tf.evaluation.prediction_writer import PredictionWriter
from adl_tf.files import make_directory, replacing
from adl_tf.models.classes import read_classes
from adl_tf.models.presets import preset_dir
from adl_tf.models.registry import load_network
from adl_tf.serving.body import Body
from adl_tf.serving.photos import find_images
from adl_tf.serving.servable import Servable
from adl_tf.serving.versions import find_export
from adl_tf.visualization.predictions import add_legend, colorize, overlay
from data_prep.images import decodable


class Segmenter(NamedTuple):
    """What segments images.

    Attributes:
      segment: maps the content of an image file to its labels, uint8 [H, W].
      description: the classes.
      origin: what it is, for the result: an `export_dir` or a `preset`.
    """

    segment: Callable[[bytes], np.ndarray]
    description: DatasetDescription
    origin: Dict[str, str]


def predict_images(
    source: Union[str, Segmenter], output_dir: str, paths: Sequence[str]
) -> Dict[str, Any]:
    """Segments images; one that cannot be read is reported on stderr and skipped.

    Args:
      source: an export, or a directory with versions of it; or `load_preset(name)`.
      output_dir: of the results: `labels`, see `PredictionWriter`, and `overlays`.
      paths: image files and folders.

    Returns:
      images, how many were segmented; seconds; failed, the paths of the others; export_dir or
      preset; output_dir.

    Raises:
      FileNotFoundError: no export or no such image.
      ValueError: no images, or none that can be read.
    """
    segmenter = load_export(source) if isinstance(source, str) else source
    images = find_images(paths)
    segment, description = segmenter.segment, segmenter.description
    labels = PredictionWriter(os.path.join(output_dir, "labels"), description)
    overlays = os.path.join(output_dir, "overlays")
    make_directory(overlays)
    failed, start = [], time.monotonic()
    for path in tqdm(images, unit="image", file=sys.stderr):
        try:
            with open(path, "rb") as file:
                content = decodable(file.read())
            prediction = segment(content)
        except (OSError, tf.errors.InvalidArgumentError) as error:
            failed.append(path)
            tqdm.write(f"{path}: skipped, {_cause(error)}", file=sys.stderr)
            continue
        name = os.path.basename(labels.write(path, prediction))
        _write_overlay(os.path.join(overlays, name), content, prediction, description)
    if len(failed) == len(images):
        raise ValueError(f"none of {len(images)} images could be read; the lines above say why.")
    return {
        "images": len(images) - len(failed),
        "seconds": round(time.monotonic() - start, 3),
        "failed": failed,
        **segmenter.origin,
        "output_dir": output_dir,
    }


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
        inputs = served.signatures["serving_default"].structured_input_signature[1]
        classes = {name: value.numpy() for name, value in served.signatures["classes"]().items()}
    except Exception as error:  # Damaged files raise errors of many types.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"{export_dir}: not an export of adl_tf.export ({reason}).") from error
    finally:
        logging.set_verbosity(verbosity)
    batch_size = inputs["image_bytes"].shape[0]
    if batch_size not in (None, 1):
        raise ValueError(
            f"{export_dir} takes {batch_size} images at a time, but this program sends one; export "
            "without --batch_size."
        )

    def segment(content: bytes) -> np.ndarray:
        # Through the model: a signature alone would not keep its weights alive.
        outputs = served.signatures["serving_default"](image_bytes=tf.constant([content]))
        return outputs["labels"].numpy()[0]

    names = [name.decode() for name in classes["names"]]
    return Segmenter(
        segment,
        _describe(export_dir, names, classes["colors"].tolist()),
        {"export_dir": export_dir},
    )


def load_preset(name: str) -> Segmenter:
    """Segments with a network that comes with the package, without an export.

    Raises:
      ValueError: no such preset.
    """
    model_dir = preset_dir(name)
    network = load_network(model_dir)
    classes = read_classes(model_dir, network.num_classes)
    servable = Servable(Body(network), classes)
    return Segmenter(
        lambda content: servable.predict(tf.constant([content]))["labels"].numpy()[0],
        _describe(name, classes.class_names, classes.colors),
        {"preset": name},
    )


def _describe(name: str, class_names: Sequence[str], colors: Sequence[Color]) -> DatasetDescription:
    return DatasetDescription(
        name=name, class_names=tuple(class_names), colors=tuple(map(tuple, colors)), splits={}
    )


def _write_overlay(
    path: str, content: bytes, prediction: np.ndarray, description: DatasetDescription
) -> None:
    """Writes a PNG file with the prediction over its image and a legend, whole or not at all."""
    image = tf.io.decode_image(content, channels=3, expand_animations=False).numpy()
    painted = overlay(image, colorize(prediction, description.colors))
    picture = Image.fromarray(add_legend(painted, prediction, description))
    with replacing(path) as temporary:
        picture.save(temporary, format="PNG", compress_level=3)


def _cause(error: Exception) -> str:
    """The line of a message that tells the cause; TensorFlow puts others before it."""
    lines = str(error).splitlines()
    causes = [line for line in lines if "assertion failed: " in line or "Invalid" in line]
    return (causes or lines)[0].replace("assertion failed: ", "")
