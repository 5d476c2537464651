"""Batch norm over the images of all devices."""

import types

import tensorflow as tf


def synchronize_norms(network: tf.keras.Model) -> None:
    """Makes all batch norms of a built network use, in training, the statistics of all devices.

    Each takes one sum over the devices in the forward and one in the backward pass. The norms of
    a network follow each other, so that they cannot share one.
    """
    for layer in network.submodules:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.synchronized = True
            # Keras's own takes three sums, one after the other, and leaves the fused kernels.
            layer._fused_batch_norm = types.MethodType(_normalize, layer)


def has_synchronized_norms(network: tf.Module) -> bool:
    """Whether a network has batch norms of `synchronize_norms`."""
    return any(getattr(layer, "synchronized", False) for layer in network.submodules)


def _normalize(layer, inputs, mask, training):
    """The method that a batch norm layer calls, on inputs [B, H, W, C]."""
    if not isinstance(training, (bool, int)) or not training:
        return type(layer)._fused_batch_norm(layer, inputs, mask, training)
    y, mean, variance = _batch_norm(inputs, layer.gamma, layer.beta, layer.epsilon)
    for moving, measured in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
        moving.assign_sub((moving - measured) * (1 - layer.momentum))
    return y


def _sum_over_devices(*vectors):
    """The sums over all devices of vectors, float32 [n] each, made at once."""
    packed = tf.concat(vectors, axis=0)
    context = tf.distribute.get_replica_context()
    if context:  # There is none while a network is built.
        packed = context.all_reduce(tf.distribute.ReduceOp.SUM, packed)
    return tf.split(packed, [vector.shape[0] for vector in vectors])


def _batch_norm(x, gamma, beta, epsilon):
    """Normalizes by the moments of all devices.

    Args:
      x: [B, H, W, C] of any precision; all others are float32.
      gamma, beta: [C], scale and offset.
      epsilon: added to the variance.

    Returns:
      (y, mean, variance): [B, H, W, C], [C], [C]; the variance is the unbiased one.
    """
    nothing = tf.zeros([0])
    _, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=gamma, offset=beta, mean=nothing, variance=nothing, epsilon=epsilon
    )
    count = tf.cast(tf.size(x) // x.shape[-1], tf.float32)
    # The kernel's variance is the unbiased one, and that of a single pixel zero.
    square = variance * (count - 1) / count + mean * mean
    total, mean, square = _sum_over_devices(count[None], count * mean, count * square)
    mean, square = mean / total, square / total
    variance = tf.maximum(square - mean * mean, 0.0)

    def normalize(x, scale, offset):
        """(x - mean) / deviation * scale + offset."""
        return tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=scale,
            offset=offset,
            mean=mean,
            variance=variance,
            epsilon=epsilon,
            is_training=False,
        )[0]

    @tf.custom_gradient
    def normalized(x, gamma, beta):
        def gradient(dy):
            # Of the same function with constant moments; the optimizer adds up the devices' own.
            dx, dgamma, dbeta, *_ = tf.raw_ops.FusedBatchNormGradV3(
                y_backprop=dy,
                x=x,
                scale=gamma,
                reserve_space_1=mean,
                reserve_space_2=variance,
                reserve_space_3=nothing,
                epsilon=epsilon,
                is_training=False,
            )
            sums = _sum_over_devices(dgamma, dbeta)
            factor = -gamma * tf.math.rsqrt(variance + epsilon) / total
            dx += normalize(x, *(factor * each for each in sums))
            return dx, dgamma, dbeta

        return normalize(x, gamma, beta), gradient

    return normalized(x, gamma, beta), mean, variance * total / tf.maximum(total - 1, 1)
