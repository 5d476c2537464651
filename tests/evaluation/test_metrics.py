"""Scores against values worked out by hand and against a plain count."""

import numpy as np
import pytest
import tensorflow as tf

from adl_tf.evaluation.metrics import ConfusionMatrix, class_ious, mean_iou, pixel_accuracy


def count(labels, predictions, num_classes):
    counts = np.zeros((num_classes, num_classes), np.int64)
    for label, prediction in zip(labels.ravel(), predictions.ravel()):
        if label != 255:
            counts[label, prediction] += 1
    return counts


def test_by_hand():
    counts = np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]])
    np.testing.assert_allclose(class_ious(counts), [3 / 4, 2 / 3, np.nan])
    assert mean_iou(counts) == pytest.approx((3 / 4 + 2 / 3) / 2)
    assert pixel_accuracy(counts) == pytest.approx(5 / 6)


def test_nothing_counted():
    assert mean_iou(np.zeros((3, 3))) == 0.0
    assert pixel_accuracy(np.zeros((3, 3))) == 0.0


def test_metric_accumulates_and_ignores():
    random = np.random.default_rng(0)
    metric = ConfusionMatrix(4)
    total = np.zeros((4, 4), np.int64)
    for _ in range(3):
        labels = random.choice([0, 1, 2, 3, 255], size=(2, 5, 7)).astype(np.int32)
        predictions = random.integers(0, 4, (2, 5, 7)).astype(np.int32)
        metric.update_state(labels, predictions)
        total += count(labels, predictions, 4)
    np.testing.assert_array_equal(metric.counts, total)
    assert float(metric.result()) == pytest.approx(mean_iou(total), rel=1e-6)
    metric.reset_state()
    assert int(tf.reduce_sum(metric.counts)) == 0


def test_counts_stay_exact_beyond_float32():
    metric = ConfusionMatrix(2)
    metric.counts.assign([[2**40, 0], [0, 0]])
    metric.update_state(np.zeros((1, 1), np.int32), np.zeros((1, 1), np.int32))
    assert int(metric.counts[0, 0]) == 2**40 + 1


def test_config_round_trip():
    metric = ConfusionMatrix.from_config(ConfusionMatrix(5, ignore_label=7).get_config())
    assert (metric.num_classes, metric.ignore_label) == (5, 7)
