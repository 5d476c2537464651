"""Convolution and batch norm: the building block of the decoded network."""

from typing import Optional

import tensorflow as tf

from adl_tf.layers.convolution import BATCH_NORM_EPSILON, conv2d, depthwise_conv2d

# Position of the relu.
BEFORE, AFTER = "before", "after"


def encoder_initializer(seed: Optional[int] = None) -> tf.keras.initializers.Initializer:
    """Initial kernels of stem and cells: uniform in +-sqrt(1 / inputs), as in the reference
    (https://github.com/tensorflow/models, research/deeplab/core/nas_network.py)."""
    return tf.keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform", seed)


@tf.keras.utils.register_keras_serializable(package="adl_tf")
class ConvNorm(tf.keras.layers.Layer):
    """Convolution without bias, batch norm, and a relu before or after the two.

    Cells apply the relu first (paper, section 3.1, https://arxiv.org/abs/1901.02985), ASPP and
    decoder last.

    Example:
      >>> layer = ConvNorm(8, kernel_size=3, stride=2)
      >>> layer(tf.zeros([1, 33, 40, 4])).shape
      TensorShape([1, 17, 20, 8])

    Args:
      filters: K, output channels.
      kernel_size: side of the kernel.
      stride: 1 or 2.
      rate: atrous rate.
      separable: depthwise, then pointwise, instead of a full convolution.
      relu: "before", "after", or None for none.
      epsilon: epsilon of the batch norm.
      kernel_initializer: initializer of all kernels; None for `encoder_initializer`.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 1,
        stride: int = 1,
        rate: int = 1,
        separable: bool = False,
        relu: Optional[str] = BEFORE,
        epsilon: float = BATCH_NORM_EPSILON,
        kernel_initializer=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.stride = stride
        self.rate = rate
        self.separable = separable
        self.relu = relu
        self.epsilon = epsilon
        self.kernel_initializer = tf.keras.initializers.get(
            kernel_initializer or encoder_initializer()
        )
        self.norm = tf.keras.layers.BatchNormalization(epsilon=epsilon, name="norm")

    def get_config(self):
        names = ("filters", "kernel_size", "stride", "rate", "separable", "relu", "epsilon")
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in names},
            "kernel_initializer": tf.keras.initializers.serialize(self.kernel_initializer),
        }

    def _add_kernel(self, name, shape):
        # A copy, since an initializer without a seed warns when it is used twice.
        copy = type(self.kernel_initializer).from_config(self.kernel_initializer.get_config())
        return self.add_weight(name=name, shape=shape, initializer=copy)

    def build(self, input_shape):
        channels, side = input_shape[-1], self.kernel_size
        if self.separable:
            self.depthwise_kernel = self._add_kernel("depthwise_kernel", (side, side, channels, 1))
            side = 1
        self.kernel = self._add_kernel("kernel", (side, side, channels, self.filters))
        with tf.name_scope(self.norm.name):
            self.norm.build((None, None, None, self.filters))
        super().build(input_shape)

    def call(self, x, training=False):
        """[B, H, W, C] -> [B, H / stride, W / stride, K], sizes rounded up."""
        if self.relu == BEFORE:
            x = tf.nn.relu(x)
        stride = self.stride
        if self.separable:
            x = depthwise_conv2d(x, self.depthwise_kernel, stride, training)
            stride = 1
        x = conv2d(x, self.kernel, stride, self.rate, training)
        x = self.norm(x, training=training)
        return tf.nn.relu(x) if self.relu == AFTER else x
