"""Atrous spatial pyramid pooling (DeepLabv3, https://arxiv.org/abs/1706.05587, section 3.3)."""

from typing import Sequence

import tensorflow as tf

from adl_tf.layers.conv_norm import AFTER, ConvNorm
from adl_tf.layers.convolution import spatial_size

HEAD_EPSILON = 1e-5  # Of the batch norms in ASPP and decoder.


def head_conv(filters: int, kernel_size: int, epsilon: float = HEAD_EPSILON, **kwargs) -> ConvNorm:
    """Convolution, batch norm, relu, as ASPP and decoder use them."""
    return ConvNorm(
        filters,
        kernel_size,
        relu=AFTER,
        epsilon=epsilon,
        kernel_initializer="glorot_uniform",
        **kwargs,
    )


@tf.keras.utils.register_keras_serializable(package="adl_tf")
class SpatialPyramidPooling(tf.keras.layers.Layer):
    """A feature map seen at several scales: pooled, 1x1, and 3x3 at several atrous rates.

    Args:
      rates: atrous rates of the 3x3 convolutions.
      filters: K, of each branch and of the output.
      epsilon: of the batch norms.
    """

    def __init__(
        self, rates: Sequence[int], filters: int = 256, epsilon: float = HEAD_EPSILON, **kwargs
    ):
        super().__init__(**kwargs)
        self.rates = tuple(rates)
        self.filters = filters
        self.epsilon = epsilon
        self.pooled = head_conv(filters, 1, epsilon, name="pooled")
        self.branches = [head_conv(filters, 1, epsilon, name="pointwise")]
        self.branches += [
            head_conv(filters, 3, epsilon, rate=rate, name=f"rate_{rate}") for rate in self.rates
        ]
        self.projection = head_conv(filters, 1, epsilon, name="projection")

    def get_config(self):
        names = ("rates", "filters", "epsilon")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def build(self, input_shape):
        joined = (None, None, None, self.filters * (1 + len(self.branches)))
        layers = [(layer, input_shape) for layer in (self.pooled, *self.branches)]
        for layer, shape in (*layers, (self.projection, joined)):
            with tf.name_scope(layer.name):
                layer.build(shape)
        super().build(input_shape)

    def call(self, x, training=False):
        """[B, H, W, C] -> [B, H, W, K]."""
        # Added up in bfloat16, the mean over a feature map would be off by tens of percent: a sum
        # stops growing once it is a few hundred times as large as the next value.
        mean = tf.reduce_mean(tf.cast(x, tf.float32), [1, 2], keepdims=True)
        pooled = self.pooled(tf.cast(mean, x.dtype), training=training)
        shape = [tf.shape(x)[0], *spatial_size(x), self.filters]
        outputs = [tf.broadcast_to(pooled, shape)]
        outputs += [branch(x, training=training) for branch in self.branches]
        return self.projection(tf.concat(outputs, axis=-1), training=training)


def freeze_pooled_norms(network: tf.keras.Model) -> None:
    """Leaves the batch norm of every ASPP's image pooling at its initial identity.

    The batch statistics of one pooled pixel per image are noise when a device has a few
    images, which a network learns to use and then lacks in inference.
    """
    for layer in network.submodules:
        if isinstance(layer, SpatialPyramidPooling):
            layer.pooled.norm.trainable = False


def set_norm_momentum(network: tf.keras.Model, momentum: float) -> None:
    """Sets the momentum of the moving statistics of all batch norms."""
    for layer in network.submodules:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.momentum = momentum
