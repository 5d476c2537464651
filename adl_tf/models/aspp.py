"""Atrous spatial pyramid pooling (DeepLabv3, https://arxiv.org/abs/1706.05587, section 3.3)."""

from typing import Sequence

import tensorflow as tf

from adl_tf.layers.conv_norm import AFTER, ConvNorm
from adl_tf.layers.convolution import spatial_size
from adl_tf.space.network_sizes import PAPER_SIZES

HEAD_EPSILON = 1e-5  # Of the batch norms in ASPP and decoder.


@tf.keras.utils.register_keras_serializable(package="adl_tf")
class SeparableHeadConv(tf.keras.layers.Layer):
    """Depthwise and 1x1 convolution, each followed by batch norm and relu.

    As `split_separable_conv2d` of the reference
    (https://github.com/tensorflow/models, research/deeplab/model.py), after DeepLabv3+
    (https://arxiv.org/abs/1802.02611, section 3.1).

    Args:
      filters: K, output channels.
      kernel_size: side of the depthwise kernel.
      epsilon: epsilon of the batch norms.
      rate: atrous rate.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        epsilon: float = HEAD_EPSILON,
        rate: int = 1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.epsilon = epsilon
        self.rate = rate
        self.depthwise_norm = tf.keras.layers.BatchNormalization(
            epsilon=epsilon, name="depthwise_norm"
        )
        self.pointwise = ConvNorm(
            filters,
            relu=AFTER,
            epsilon=epsilon,
            kernel_initializer=tf.keras.initializers.TruncatedNormal(stddev=0.06),
            name="pointwise",
        )

    def get_config(self):
        names = ("filters", "kernel_size", "epsilon", "rate")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def build(self, input_shape):
        self.depthwise_kernel = self.add_weight(
            name="depthwise_kernel",
            shape=(self.kernel_size, self.kernel_size, input_shape[-1], 1),
            initializer=tf.keras.initializers.TruncatedNormal(stddev=0.33),
        )
        for layer in (self.depthwise_norm, self.pointwise):
            with tf.name_scope(layer.name):
                layer.build((None, None, None, input_shape[-1]))
        super().build(input_shape)

    def call(self, x, training=False):
        """[B, H, W, C] -> [B, H, W, K]."""
        rates = [self.rate, self.rate]
        x = tf.nn.depthwise_conv2d(x, self.depthwise_kernel, [1, 1, 1, 1], "SAME", dilations=rates)
        x = tf.nn.relu(self.depthwise_norm(x, training=training))
        return self.pointwise(x, training=training)


def head_conv(
    filters: int,
    kernel_size: int,
    epsilon: float = HEAD_EPSILON,
    separable: bool = False,
    **kwargs,
) -> tf.keras.layers.Layer:
    """Convolution, batch norm, relu, as ASPP and decoder use them."""
    if separable:
        return SeparableHeadConv(filters, kernel_size, epsilon, **kwargs)
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
      epsilon: epsilon of the batch norms.
      separable: depthwise-separable 3x3 convolutions.
    """

    def __init__(
        self,
        rates: Sequence[int],
        filters: int = PAPER_SIZES.aspp,
        epsilon: float = HEAD_EPSILON,
        separable: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.rates = tuple(rates)
        self.filters = filters
        self.epsilon = epsilon
        self.separable = separable
        self.pooled = head_conv(filters, 1, epsilon, name="pooled")
        self.branches = [head_conv(filters, 1, epsilon, name="pointwise")]
        self.branches += [
            head_conv(filters, 3, epsilon, separable, rate=rate, name=f"rate_{rate}")
            for rate in self.rates
        ]
        self.projection = head_conv(filters, 1, epsilon, name="projection")

    def get_config(self):
        names = ("rates", "filters", "epsilon", "separable")
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
