"""Scores from one confusion matrix, which accumulates on the device."""

from typing import Dict

import numpy as np
import tensorflow as tf


def count_pixels(labels, predictions, num_classes: int, ignore_label: int = 255) -> tf.Tensor:
    """Counts the pixels by (true class, predicted class), on the device.

    Args:
      labels: integers of any shape.
      predictions: integers of the same shape.
      num_classes: number of classes.
      ignore_label: pixels with this label are not counted.

    Returns:
      int64 [num_classes, num_classes].
    """
    labels = tf.reshape(labels, [-1])
    predictions = tf.cast(tf.reshape(predictions, [-1]), labels.dtype)
    # Segments with negative numbers are dropped.
    cells = tf.where(labels == ignore_label, -1, labels * num_classes + predictions)
    counts = tf.math.unsorted_segment_sum(tf.ones_like(cells, tf.int64), cells, num_classes**2)
    return tf.reshape(counts, [num_classes, num_classes])


class ConfusionMatrix(tf.keras.metrics.Metric):
    """Pixel counts by (true class, predicted class), exact in 64 bits.

    Args:
      num_classes: number of classes.
      ignore_label: pixels with this label are not counted.
    """

    def __init__(self, num_classes: int, ignore_label: int = 255, name="miou", **kwargs):
        super().__init__(name=name, **kwargs)
        self.num_classes = num_classes
        self.ignore_label = ignore_label
        self.counts = self.add_weight(
            name="counts", shape=(num_classes, num_classes), initializer="zeros", dtype=tf.int64
        )

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "ignore_label": self.ignore_label,
        }

    # AutoGraph has nothing to convert in the counts and would only cost time.
    @tf.autograph.experimental.do_not_convert
    def update_state(self, labels, predictions, sample_weight=None):
        """Counts the pixels of integer label maps of equal shape."""
        del sample_weight  # Part of the Keras interface; pixels count once.
        self.counts.assign_add(
            count_pixels(labels, predictions, self.num_classes, self.ignore_label)
        )

    def reset_state(self):
        self.counts.assign(tf.zeros_like(self.counts))

    @tf.autograph.experimental.do_not_convert
    def result(self):
        """Mean intersection over union, float32 scalar; see `mean_iou`."""
        counts = tf.cast(self.counts, tf.float64)
        hits = tf.linalg.diag_part(counts)
        unions = tf.reduce_sum(counts, 0) + tf.reduce_sum(counts, 1) - hits
        present = tf.reduce_sum(tf.cast(unions > 0, tf.float64))
        ious = tf.math.divide_no_nan(hits, unions)
        return tf.cast(tf.math.divide_no_nan(tf.reduce_sum(ious), present), tf.float32)


def class_ious(counts: np.ndarray) -> np.ndarray:
    """Intersection over union of each class; nan where a class is neither true nor predicted.

    Args:
      counts: [classes, classes] pixel counts by (true, predicted).

    Returns:
      float64 [classes].
    """
    counts = np.asarray(counts, np.float64)
    hits = np.diag(counts)
    unions = counts.sum(0) + counts.sum(1) - hits
    return np.where(unions > 0, hits / np.maximum(unions, 1.0), np.nan)


def mean_iou(counts: np.ndarray) -> float:
    """Mean over the classes that are true or predicted anywhere; 0 if there is none."""
    ious = class_ious(counts)
    return float(np.nanmean(ious)) if np.isfinite(ious).any() else 0.0


def mean_dice(counts: np.ndarray) -> float:
    """Mean Dice score over the classes that are true or predicted anywhere; 0 if there is none."""
    ious = class_ious(counts)
    return float(np.nanmean(2 * ious / (1 + ious))) if np.isfinite(ious).any() else 0.0


def pixel_accuracy(counts: np.ndarray) -> float:
    """Share of the counted pixels whose prediction is right; 0 if there is none."""
    counts = np.asarray(counts, np.float64)
    return float(np.trace(counts) / max(counts.sum(), 1.0))


def class_scores(counts: np.ndarray) -> Dict[str, np.ndarray]:
    """The scores of each class; nan where nothing of it was seen.

    Args:
      counts: [classes, classes] pixel counts by (true, predicted).

    Returns:
      float64 [classes] each: `iou`; `dice`, twice the intersection over the sum of the two
      (the F1 score of the pixels); `recall`, the share of the class's pixels that were
      predicted as it; `precision`, the share of the pixels predicted as it that are;
      `share`, that of the class in all true pixels.
    """
    counts = np.asarray(counts, np.float64)
    hits, true, predicted = np.diag(counts), counts.sum(1), counts.sum(0)

    def ratio(part, whole):
        return np.where(whole > 0, part / np.maximum(whole, 1.0), np.nan)

    return {
        "iou": class_ious(counts),
        "dice": ratio(2 * hits, true + predicted),
        "recall": ratio(hits, true),
        "precision": ratio(hits, predicted),
        "share": ratio(true, np.full_like(true, counts.sum())),
    }
