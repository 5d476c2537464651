"""Pictures of a data set: how its pixels are shared out, and masks over their images."""

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from adl_tf.data.reader import RecordReader
from adl_tf.planning.fingerprint import TRAIN, Fingerprint
from adl_tf.visualization.predictions import add_legend, colorize, overlay

# Longer side of an image in a picture, in pixels: at most, and at least for the legend.
_MOST, _LEAST = 480, 240


def draw_shares(fingerprint: Fingerprint) -> Figure:
    """The share of the labelled pixels that each class has, split by split, on a log scale."""
    names, splits = fingerprint.class_names, list(fingerprint.class_shares)
    figure = Figure(figsize=(7, 0.8 + 0.28 * len(names)), layout="constrained")
    axes = figure.subplots()
    height = 0.8 / len(splits)
    for place, split in enumerate(splits):
        axes.barh(
            np.arange(len(names)) + height * (place - (len(splits) - 1) / 2),
            100 * np.array(fingerprint.class_shares[split]),
            height,
            label=split,
        )
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    shares = [share for values in fingerprint.class_shares.values() for share in values if share]
    axes.set_xscale("log")
    axes.set_xlim(min(0.1, 50 * min(shares)), 100)
    # Figures are drawn without formulas, which the usual labels of the scale are.
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    axes.set_xlabel("% of the labelled pixels")
    figure.legend(fontsize=8, loc="outside right upper")
    return figure


def draw_examples(dataset_dir: str, count: int = 4) -> Figure:
    """Training images from all over the data set, with their masks over them.

    Args:
      dataset_dir: of the records.
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


def _resized(array: np.ndarray) -> np.ndarray:
    """Every nth pixel, which is enough to see whether a mask fits; or each of them n times."""
    side = max(array.shape[:2])
    every, copies = -(-side // _MOST), -(-_LEAST // side)
    return array[::every, ::every].repeat(copies, 0).repeat(copies, 1)
