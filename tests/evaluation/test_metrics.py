"""Scores against values worked out by hand and against a plain count."""

import numpy as np
import pytest
import tensorflow as tf

from adl_tf.evaluation.metrics import (
    ConfusionMatrix,
    class_ious,
    class_scores,
    count_pixels,
    mean_dice,
    mean_iou,
    pixel_accuracy,
)


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


def test_one_image_counts_exactly_beyond_what_float32_holds():
    side = 2**12 + 1  # A float32 sum of ones stops at 2^24.
    ones = tf.ones([side, side], tf.int32)
    assert int(count_pixels(ones, ones, 2)[1, 1]) == side**2


def test_images_of_cityscapes_count_exactly_beyond_int32():
    pixels = 1025 * 2049
    metric = ConfusionMatrix(2)
    # As if 1098 images had been counted before.
    metric.counts.assign([[pixels * 1098, 3], [0, 0]])
    label = np.zeros((1025, 2049), np.int32)
    metric.update_state(label, label)
    metric.update_state(label, np.ones_like(label))
    assert metric.counts.numpy().tolist() == [[pixels * 1099, 3 + pixels], [0, 0]]
    assert pixels * 1099 > 2**31
    assert float(metric.result()) == pytest.approx(1099 / 1100 / 2, rel=1e-6)


def test_class_scores_by_hand():
    scores = class_scores(np.array([[3, 1, 0, 0], [2, 2, 0, 0], [0, 0, 0, 0], [0, 2, 0, 0]]))
    expected = {
        "iou": [3 / 6, 2 / 7, np.nan, 0],
        "dice": [6 / 9, 4 / 9, np.nan, 0],
        "recall": [3 / 4, 2 / 4, np.nan, 0],
        "precision": [3 / 5, 2 / 5, np.nan, np.nan],
        "share": [0.4, 0.4, 0, 0.2],
    }
    assert scores.keys() == expected.keys()
    assert mean_dice(np.zeros((2, 2))) == 0.0
    assert mean_dice(np.array([[3, 1], [2, 2]])) == pytest.approx((6 / 9 + 4 / 7) / 2)
    for name, values in expected.items():
        np.testing.assert_allclose(scores[name], values, err_msg=name)


def test_class_scores_of_nothing():
    assert np.isnan([*class_scores(np.zeros((2, 2))).values()]).all()


def test_config_round_trip():
    metric = ConfusionMatrix.from_config(ConfusionMatrix(5, ignore_label=7).get_config())
    assert (metric.num_classes, metric.ignore_label) == (5, 7)
