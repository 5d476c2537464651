"""Comparison of exported files with the network that they were made of, on images."""

import json
import os
import subprocess
import sys
import tempfile
from typing import Any, Dict, NamedTuple, Optional

import numpy as np
import tensorflow as tf
from PIL import Image

from adl_tf.data.reader import RecordReader
from adl_tf.evaluation.metrics import mean_iou
from adl_tf.models.trained_on import read_run

# Of the pixels, that a file of floats labels as the network does.
EQUAL = 0.999
# Of mIoU, that a file of 8-bit integers may lose.
MIOU_LOSS = 0.01
CHECKED, TYPICAL = 50, 100


class Samples(NamedTuple):
    """Images at the size of an export.

    Attributes:
      images: uint8 [N, H, W, 3].
      labels: uint8 [N, H, W]; None without.
    """

    images: np.ndarray
    labels: Optional[np.ndarray]


def read_samples(model_dir: str, split: str, size, count: int) -> Samples:
    """Images from all over a split of the data that a network was trained on, resized.

    Raises:
      FileNotFoundError, ValueError: the data set is not there.
    """
    dataset_dir = read_run(model_dir).get("dataset_dir")
    if not dataset_dir:
        raise ValueError(f"{model_dir}: does not say what it was trained on.")
    reader = RecordReader(dataset_dir, split)
    places = np.linspace(0, reader.num_examples - 1, min(count, reader.num_examples)).astype(int)
    shape = size[::-1]
    images, labels = [], []
    for place in np.unique(places):
        image, label, _, _ = reader.load(tf.constant(place, tf.int64))
        images.append(np.asarray(Image.fromarray(image.numpy()).resize(shape)))
        nearest = Image.Resampling.NEAREST
        labels.append(np.asarray(Image.fromarray(label.numpy()).resize(shape, nearest)))
    return Samples(np.stack(images), np.stack(labels))


def random_samples(size) -> Samples:
    """Two images of noise, where the data are not there."""
    images = np.random.default_rng(0).integers(0, 256, (2, *size, 3), np.uint8)
    return Samples(images, None)


def label_samples(function, samples: Samples) -> np.ndarray:
    """The labels of the network itself, int32 [N, H, W]; `function` is that of `labels_of`."""
    return np.concatenate(
        [function(tf.constant(image[None]))["labels"].numpy() for image in samples.images]
    )


def check_edge(
    path: str, expected: np.ndarray, samples: Samples, num_classes: int
) -> Dict[str, Any]:
    """Runs a file in a process of its own.

    Args:
      path: path of the file.
      expected: see `label_samples`.
      samples: what it labels.
      num_classes: number of classes of the network.

    Returns:
      labels_equal, share of the pixels that the network labels alike; seconds, of the median image;
      miou and float_miou, of the file and of the network, where there are labels.

    Raises:
      ValueError: it does not run.
    """
    with tempfile.TemporaryDirectory() as folder:
        images, labels = (os.path.join(folder, f"{name}.npy") for name in ("images", "labels"))
        np.save(images, samples.images)
        process = subprocess.run(
            [sys.executable, "-m", "adl_tf.serving.run_edge", path, images, labels],
            capture_output=True,
            text=True,
        )
        if process.returncode:
            lines = process.stderr.strip().splitlines() or ["without a word"]
            raise ValueError(f"{path}: does not run ({lines[-1]}).")
        found = np.load(labels)
    result = {
        "labels_equal": float(np.mean(found == expected)),
        "seconds": json.loads(process.stdout.splitlines()[-1])["seconds"],
    }
    if samples.labels is not None:
        result["miou"] = _miou(found, samples.labels, num_classes)
        result["float_miou"] = _miou(expected, samples.labels, num_classes)
    return result


def fault_of(result: Dict[str, Any], int8: bool) -> Optional[str]:
    """Why a file must not be used; None if it may."""
    if not int8 and result["labels_equal"] < EQUAL:
        return f"it labels only {result['labels_equal']:.2%} of the pixels as the network does"
    if int8 and result["float_miou"] - result["miou"] > MIOU_LOSS:
        return f"its mIoU is {result['miou']:.1%} instead of {result['float_miou']:.1%}"
    return None


def _miou(found: np.ndarray, labels: np.ndarray, num_classes: int) -> float:
    counted = labels < num_classes
    counts = np.zeros((num_classes, num_classes), np.int64)
    np.add.at(counts, (labels[counted], found[counted]), 1)
    return mean_iou(counts)
