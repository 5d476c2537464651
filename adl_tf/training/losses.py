"""Loss of a segmentation network."""

import tensorflow as tf


def segmentation_loss(labels, logits, ignore_label: int = 255) -> tf.Tensor:
    """Cross entropy, mean over the labelled pixels of the global batch.

    In a replica, the share of the global loss that its own pixels make up: summed over
    replicas, loss and gradients are those of the whole batch, wherever the ignored
    pixels lie.

    Args:
      labels: int32 [B, H, W].
      logits: float32 [B, H, W, classes].
      ignore_label: label without loss.

    Returns:
      float32 scalar; 0 where no pixel is labelled.
    """
    valid = labels != ignore_label
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.where(valid, labels, 0), logits=logits
    )
    count = tf.reduce_sum(tf.cast(valid, tf.float32))
    count = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, count)
    return tf.reduce_sum(tf.where(valid, losses, 0.0)) / tf.maximum(count, 1.0)
