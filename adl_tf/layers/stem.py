"""The stem: three convolutions that bring the image to stride 4."""

from typing import Sequence

import tensorflow as tf

from adl_tf.layers.convolution import BATCH_NORM_EPSILON


class Stem(tf.keras.layers.Layer):
    """3x3 convolutions of strides 2, 1, 2, each followed by batch norm, relu between them.

    The last output has no relu: a cell starts with one.

    Args:
      filters: filters of the three convolutions (paper: 64, 64, 128).
    """

    STRIDES = (2, 1, 2)

    def __init__(self, filters: Sequence[int] = (64, 64, 128), **kwargs):
        super().__init__(**kwargs)
        self.filters = tuple(filters)
        self.convolutions = [
            tf.keras.layers.Conv2D(
                count,
                3,
                strides=stride,
                padding="same",
                use_bias=False,
                kernel_initializer="he_normal",
            )
            for count, stride in zip(self.filters, self.STRIDES)
        ]
        self.norms = [
            tf.keras.layers.BatchNormalization(epsilon=BATCH_NORM_EPSILON) for _ in self.filters
        ]

    def get_config(self):
        return {**super().get_config(), "filters": list(self.filters)}

    def build(self, input_shape):
        channels = input_shape[-1]
        for convolution, norm in zip(self.convolutions, self.norms):
            with tf.name_scope(convolution.name):
                convolution.build((None, None, None, channels))
            channels = convolution.filters
            with tf.name_scope(norm.name):
                norm.build((None, None, None, channels))
        super().build(input_shape)

    def call(self, x, training=False):
        """[B, H, W, 3] -> (output of the second convolution, stride 2; output, stride 4)."""
        features = []
        for convolution, norm in zip(self.convolutions, self.norms):
            x = norm(convolution(tf.nn.relu(x) if features else x), training=training)
            features.append(x)
        return features[1], features[2]
