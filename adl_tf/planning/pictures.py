"""Pictures of a data set: how its pixels are shared out, and masks over their images."""

import os
from typing import Any, Dict, List

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure
from PIL import Image

from adl_tf.data.reader import RecordReader
from adl_tf.evaluation.metrics import count_pixels, mean_iou
from adl_tf.planning.fingerprint import TRAIN, VAL, Fingerprint
from adl_tf.serving.versions import find_export
from adl_tf.system.files import make_directory, replacing
from adl_tf.visualization.predictions import (
    add_legend,
    colorize,
    overlay,
    prediction_panel,
    shrink_example,
)

# Longer side of an image in a picture, in pixels: at most, and at least for the legend.
_MOST, _LEAST = 480, 240


def draw_shares(fingerprint: Fingerprint) -> Figure:
    """The share of the labelled pixels that each class has, split by split."""
    names, splits = fingerprint.class_names, list(fingerprint.class_shares)
    figure = Figure(figsize=(7, 0.8 + 0.4 * len(names)), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(splits)
    for place, split in enumerate(splits):
        shares = 100 * np.array(fingerprint.class_shares[split])
        rows = np.arange(len(names)) + height * (place - (len(splits) - 1) / 2)
        bars = axes.barh(rows, shares, height, label=split)
        # Bars of rare classes are too short to read.
        axes.bar_label(bars, [f"{share:.2g}" for share in shares], padding=3, fontsize=7)
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.margins(x=0.1)
    axes.set_xlabel("% of the labelled pixels")
    figure.legend(fontsize=8, loc="outside right upper")
    return figure


def draw_examples(dataset_dir: str, count: int = 4) -> Figure:
    """Training images from all over the data set, with their masks over them.

    Args:
      dataset_dir: directory of the records.
      count: how many, at most.
    """
    reader = RecordReader(dataset_dir, TRAIN)
    count = min(count, reader.num_examples)
    figure = Figure(figsize=(8, 3.2 * -(-count // 2)), layout="constrained")
    for axes in figure.subplots(-(-count // 2), 2, squeeze=False).flat:
        axes.set_axis_off()
    places = np.linspace(0, reader.num_examples - 1, count).astype(int)
    for axes, place in zip(figure.axes, places):
        image, label, *_ = reader.load(tf.constant(place, tf.int64))
        image, label = (_resized(array.numpy()) for array in (image, label))
        painted = overlay(image, colorize(label, reader.description.colors))
        axes.imshow(add_legend(painted, label, reader.description))
    return figure


def predict_examples(
    dataset_dir: str, export_dir: str, folder: str, count: int = 3
) -> List[Dict[str, Any]]:
    """Labels images from all over the validation split by an export, and draws them.

    Args:
      dataset_dir: directory of the records.
      export_dir: directory of an export, or of versions of it.
      folder: directory of the pictures, see `prediction_panel`.
      count: how many, at most.

    Returns:
      file, name and miou of each.
    """
    reader = RecordReader(dataset_dir, VAL)
    loaded = tf.saved_model.load(find_export(export_dir))  # Its functions need it.
    segment = loaded.signatures["serving_tensor"]
    make_directory(folder)
    # The middle of each of equal parts.
    places = (np.arange(min(count, reader.num_examples)) + 0.5) / count * reader.num_examples
    drawn = []
    for index, place in enumerate(places.astype(int)):
        image, label, name, _ = reader.load(tf.constant(place, tf.int64))
        predicted = segment(images=image[None])["labels"][0]
        counts = count_pixels(tf.cast(label, tf.int32), predicted, reader.num_classes).numpy()
        example = shrink_example(image.numpy(), label.numpy(), predicted.numpy())
        path = os.path.join(folder, f"{index}.png")
        with replacing(path) as temporary:
            panel = prediction_panel(*example, reader.description)
            Image.fromarray(panel).save(temporary, format="PNG")
        drawn.append({"file": path, "name": name.numpy().decode(), "miou": mean_iou(counts)})
    return drawn


def _resized(array: np.ndarray) -> np.ndarray:
    """Every nth pixel, which is enough to see whether a mask fits; or each of them n times."""
    side = max(array.shape[:2])
    every, copies = -(-side // _MOST), -(-_LEAST // side)
    return array[::every, ::every].repeat(copies, 0).repeat(copies, 1)
