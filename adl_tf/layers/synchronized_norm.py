"""Batch norm over the images of all devices."""

import types

import tensorflow as tf


def synchronize_norms(network: tf.keras.Model) -> None:
    """Makes all batch norms of a built network use, in training, the statistics of all devices.

    Each takes one sum over the devices. The norms of a network follow each other, so that they
    cannot share one.
    """
    for layer in network.submodules:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.synchronized, layer.fused = True, False
            # Keras's own takes three sums, one after the other.
            layer._sync_calculate_mean_and_var = types.MethodType(_moments, layer)


def has_synchronized_norms(network: tf.Module) -> bool:
    """Whether a network has batch norms of `synchronize_norms`."""
    return any(getattr(layer, "synchronized", False) for layer in network.submodules)


def _moments(layer, x, reduction_axes, keep_dims, mask=None):
    """Mean and variance over all devices, [C] or broadcast to x's rank, in x's dtype."""
    del layer, mask
    y = tf.cast(x, tf.float32)
    channels = x.shape[-1]
    count = tf.cast(tf.size(y) // channels, tf.float32)
    sums = [tf.reduce_sum(values, reduction_axes) for values in (y, y * y)]
    packed = tf.concat([[count], *sums], axis=0)
    context = tf.distribute.get_replica_context()
    if context:  # There is none while a network is built.
        packed = context.all_reduce(tf.distribute.ReduceOp.SUM, packed)
    count, mean, square = tf.split(packed, [1, channels, channels])
    mean, square = mean / count, square / count
    moments = mean, tf.maximum(square - mean * mean, 0.0)
    if keep_dims:
        moments = [tf.reshape(value, [1] * (x.shape.rank - 1) + [channels]) for value in moments]
    return tuple(tf.cast(value, x.dtype) for value in moments)
