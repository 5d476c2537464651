"""Scores of a network over a few batches."""

from typing import Callable, Dict, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import tensorflow as tf

from adl_tf.evaluation.metrics import count_pixels, mean_iou
from adl_tf.training.losses import weighted_loss


class Score(NamedTuple):
    """mIoU, and the cross entropy of each batch."""

    miou: float
    losses: Tuple[float, ...]

    @property
    def loss(self) -> float:
        """Mean over the batches."""
        return float(np.mean(self.losses))


def score_batches(
    network: Callable[[tf.Tensor], tf.Tensor],
    batches: Sequence[Dict[str, tf.Tensor]],
    num_classes: int,
    class_weights: Optional[np.ndarray] = None,
) -> Score:
    """Scores a network.

    Args:
      network: maps images [B, H, W, 3] to logits [B, H, W, num_classes].
      batches: dicts of image [B, H, W, 3] and label [B, H, W].
      num_classes: number of classes.
      class_weights: of the loss; None for 1.
    """
    counts, losses = 0, []
    for batch in batches:
        logits = network(batch["image"])
        loss, weight = weighted_loss(batch["label"], logits, class_weights=class_weights)
        if float(weight):  # Else nothing in the batch is labelled.
            losses.append(float(loss / weight))
        predictions = tf.argmax(logits, -1, tf.int32)
        counts = counts + count_pixels(batch["label"], predictions, num_classes)
    return Score(mean_iou(counts.numpy()), tuple(losses))
