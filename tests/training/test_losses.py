"""Losses by hand: weights of classes, hard pixels, ignored ones."""

import numpy as np
import pytest

from adl_tf.training.losses import (
    cross_entropy_and_dice,
    median_frequency_weights,
    segmentation_loss,
    weighted_loss,
)

RANDOM = np.random.default_rng(0)
LOGITS = RANDOM.normal(size=(2, 3, 4, 3)).astype(np.float32)
LABELS = RANDOM.choice([0, 1, 2, 255], size=(2, 3, 4)).astype(np.int32)
LOSSES = np.where(
    LABELS == 255,
    np.nan,
    np.log(np.exp(LOGITS).sum(-1))
    - np.take_along_axis(LOGITS, np.where(LABELS == 255, 0, LABELS)[..., None], -1)[..., 0],
)
VALID = LABELS != 255


def ratio(**options):
    loss, weight = weighted_loss(LABELS, LOGITS, **options)
    return float(loss) / float(weight)


def test_mean_over_labelled_pixels():
    assert ratio() == pytest.approx(np.nanmean(LOSSES), rel=1e-5)
    assert float(segmentation_loss(LABELS, LOGITS)) == pytest.approx(np.nanmean(LOSSES), rel=1e-5)


def test_class_weights():
    weights = np.array([1.0, 0.5, 4.0])[np.where(VALID, LABELS, 0)][VALID]
    expected = (weights * LOSSES[VALID]).sum() / weights.sum()
    assert ratio(class_weights=[1.0, 0.5, 4.0]) == pytest.approx(expected, rel=1e-5)


def test_hard_pixels():
    ranked = np.sort(LOSSES[VALID])[::-1]
    count = int(np.ceil(0.3 * len(ranked)))
    assert ratio(hard_fraction=0.3) == pytest.approx(ranked[:count].mean(), rel=1e-5)


def test_nothing_labelled_is_no_loss():
    loss, weight = weighted_loss(np.full_like(LABELS, 255), LOGITS, hard_fraction=0.5)
    assert float(loss) == float(weight) == 0
    assert float(segmentation_loss(np.full_like(LABELS, 255), LOGITS)) == 0


def test_ignored_pixels_may_be_infinite():
    logits = LOGITS.copy()
    logits[~VALID] = np.inf
    loss, _ = weighted_loss(LABELS, logits)
    assert np.isfinite(loss)


def test_median_frequency_weights():
    np.testing.assert_allclose(
        median_frequency_weights([0.6, 0.3, 0.1, 0.0]), [0.5, 1.0, 3.0, 1.0], rtol=1e-6
    )


def test_dice_by_hand():
    probabilities = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    losses = []
    for index in range(3):
        true, likely = (index == LABELS)[VALID], probabilities[..., index][VALID]
        losses.append(1 - 2 * likely[true].sum() / (true.sum() + likely.sum()))
    loss, weight = cross_entropy_and_dice(LABELS, LOGITS)
    assert float(loss) / float(weight) == pytest.approx(np.nanmean(LOSSES) + np.mean(losses))


def test_dice_is_of_the_classes_that_occur():
    labels = np.where(LABELS == 2, 255, LABELS)
    right = 50 * np.eye(3, dtype=np.float32)[np.where(labels == 255, 2, labels)]
    loss, weight = cross_entropy_and_dice(labels, right)
    assert float(loss) / float(weight) == pytest.approx(0, abs=1e-5)
    loss, weight = cross_entropy_and_dice(np.full_like(LABELS, 255), LOGITS)
    assert float(loss) == float(weight) == 0
