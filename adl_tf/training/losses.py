"""Losses of a segmentation network, class-balanced ones (`class_balanced_loss`) included."""

from typing import Optional, Sequence, Tuple

import numpy as np
import tensorflow as tf

from adl_tf.distribution.reduction import sum_over_replicas
from adl_tf.system.settings import configurable


def weighted_loss(
    labels,
    logits,
    ignore_label: int = 255,
    class_weights: Optional[Sequence[float]] = None,
    hard_fraction: float = 1.0,
) -> Tuple[tf.Tensor, tf.Tensor]:
    """Cross entropy as a numerator and a denominator.

    The loss of pixels that lie in several tensors of one size, on several devices or one
    after the other, is the sum of the numerators over that of the denominators, wherever
    the ignored pixels lie.

    Args:
      labels: int32 [B, H, W].
      logits: float32 [B, H, W, classes].
      ignore_label: label without loss.
      class_weights: weight of the pixels of each class; None for 1.
      hard_fraction: share of the labelled pixels here, those of the largest loss, that count
        (online hard example mining).

    Returns:
      (float32 scalar, float32 scalar): sum of weight * loss, and of the weights, each
      divided by B * H * W.
    """
    valid = labels != ignore_label
    labels = tf.where(valid, labels, 0)
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=labels, logits=logits)
    weights = tf.cast(valid, tf.float32)
    if hard_fraction < 1.0:
        weights *= _hardest(tf.stop_gradient(losses), weights, hard_fraction)
    if class_weights is not None:
        weights *= tf.gather(tf.constant(class_weights, tf.float32), labels)
    # Selected, not multiplied: 0 times an infinite loss would not be 0.
    losses = tf.where(weights > 0, losses, 0.0)
    return tf.reduce_mean(weights * losses), tf.reduce_mean(weights)


@configurable
def cross_entropy_and_dice(
    labels,
    logits,
    ignore_label: int = 255,
    class_weights: Optional[Sequence[float]] = None,
    hard_fraction: float = 1.0,
) -> Tuple[tf.Tensor, tf.Tensor]:
    """Cross entropy plus the soft Dice loss, as a numerator and a denominator.

    The Dice loss is 1 - 2 sum(p y) / sum(p + y), sums over the labelled pixels of the batch here, p
    the probability of a class and y 1 where it is the label; the mean over the classes that occur.
    Isensee et al., nnU-Net, "Training", https://arxiv.org/abs/1904.08128.

    Args:
      labels: see `weighted_loss`, as all others.
      logits: see there.
      ignore_label: see there.
      class_weights: see there; of the cross entropy alone.
      hard_fraction: see there; of the cross entropy alone.

    Returns:
      (float32 scalar, float32 scalar): see there.
    """
    loss, weight = weighted_loss(labels, logits, ignore_label, class_weights, hard_fraction)
    valid = labels != ignore_label
    true = tf.one_hot(tf.where(valid, labels, -1), logits.shape[-1])
    probabilities = tf.where(valid[..., tf.newaxis], tf.nn.softmax(logits), 0.0)
    pixels = tf.reduce_sum(true, [0, 1, 2])
    both = tf.reduce_sum(true * probabilities, [0, 1, 2])
    dice = 1 - 2 * both / tf.maximum(pixels + tf.reduce_sum(probabilities, [0, 1, 2]), 1e-6)
    occurs = tf.cast(pixels > 0, tf.float32)
    dice = tf.math.divide_no_nan(tf.reduce_sum(occurs * dice), tf.reduce_sum(occurs))
    return loss + weight * dice, weight


def segmentation_loss(labels, logits, ignore_label: int = 255) -> tf.Tensor:
    """Cross entropy, mean over the labelled pixels of the global batch.

    In a replica, the share of the global loss that its own pixels make up: summed over
    replicas, loss and gradients are those of the whole batch.

    Args:
      labels: int32 [B, H, W].
      logits: float32 [B, H, W, classes].
      ignore_label: label without loss.

    Returns:
      float32 scalar; 0 where no pixel is labelled.
    """
    loss, weight = weighted_loss(labels, logits, ignore_label)
    return tf.math.divide_no_nan(loss, sum_over_replicas(weight))


def median_frequency_weights(frequencies: Sequence[float]) -> np.ndarray:
    """Class weights that make rare classes count more: median frequency / own frequency.

    Args:
      frequencies: share of each class in the pixels; 0 for a class that does not occur, which
        gets the weight 1.

    Returns:
      float32 [classes].
    """
    frequencies = np.asarray(frequencies, np.float64)
    present = frequencies > 0
    median = np.median(frequencies[present]) if present.any() else 1.0
    return np.where(present, median / np.where(present, frequencies, 1.0), 1.0).astype(np.float32)


def _hardest(losses, valid, fraction):
    """1 for the given share of the valid pixels, those of the largest loss; 0 for the rest."""
    count = tf.cast(tf.math.ceil(fraction * tf.reduce_sum(valid)), tf.int32)
    ranked = tf.sort(tf.reshape(tf.where(valid > 0, losses, -1.0), [-1]), direction="DESCENDING")
    threshold = ranked[tf.maximum(count, 1) - 1]
    return tf.cast(losses >= threshold, tf.float32)
