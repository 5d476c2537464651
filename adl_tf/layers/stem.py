"""The stem: three convolutions that bring the image to stride 4."""

from typing import Sequence

import tensorflow as tf

from adl_tf.layers.conv_norm import BEFORE, ConvNorm
from adl_tf.space.network_sizes import PAPER_SIZES


@tf.keras.utils.register_keras_serializable(package="adl_tf")
class Stem(tf.keras.layers.Layer):
    """3x3 convolutions of strides 2, 1, 2, each followed by batch norm, relu between them.

    The last output has no relu: a cell starts with one.

    Args:
      filters: filters of the three convolutions (paper: 64, 64, 128).
    """

    STRIDES = (2, 1, 2)

    def __init__(self, filters: Sequence[int] = PAPER_SIZES.stem, **kwargs):
        super().__init__(**kwargs)
        self.filters = tuple(filters)
        self.convolutions = [
            ConvNorm(
                count, 3, stride, relu=BEFORE if index else None, name=f"convolution_{index + 1}"
            )
            for index, (count, stride) in enumerate(zip(self.filters, self.STRIDES))
        ]

    def get_config(self):
        return {**super().get_config(), "filters": list(self.filters)}

    def build(self, input_shape):
        channels = input_shape[-1]
        for convolution in self.convolutions:
            with tf.name_scope(convolution.name):
                convolution.build((None, None, None, channels))
            channels = convolution.filters
        super().build(input_shape)

    def call(self, x, training=False):
        """[B, H, W, 3] -> (output of the second convolution, stride 2; output, stride 4)."""
        features = []
        for convolution in self.convolutions:
            x = convolution(x, training=training)
            features.append(x)
        return features[1], features[2]
