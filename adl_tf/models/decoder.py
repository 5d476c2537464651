"""The decoder (DeepLabv3+, https://arxiv.org/abs/1802.02611, section 3.1)."""

import tensorflow as tf

from adl_tf.layers.convolution import resize, spatial_size
from adl_tf.models.aspp import head_conv
from adl_tf.space.network_sizes import PAPER_SIZES


@tf.keras.utils.register_keras_serializable(package="adl_tf")
class Decoder(tf.keras.layers.Layer):
    """Coarse features joined with finer ones, two 3x3 convolutions, classes.

    Args:
      num_classes: number of classes.
      low_level_filters: to which the finer features are projected.
      filters: filters of the two 3x3 convolutions.
      separable: depthwise-separable 3x3 convolutions.
    """

    def __init__(
        self,
        num_classes: int,
        low_level_filters: int = PAPER_SIZES.low_level,
        filters: int = PAPER_SIZES.decoder,
        separable: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.low_level_filters = low_level_filters
        self.filters = filters
        self.separable = separable
        self.projection = head_conv(low_level_filters, 1, name="low_level")
        self.convolutions = [
            head_conv(filters, 3, separable=separable, name=f"refine_{index}") for index in range(2)
        ]
        # Rounded to bfloat16, logits of 10 would be off by up to 0.03, and labels with them.
        self.classifier = tf.keras.layers.Conv2D(
            num_classes,
            1,
            kernel_initializer=tf.keras.initializers.TruncatedNormal(stddev=0.01),
            dtype="float32",
            name="classifier",
        )

    def get_config(self):
        names = ("num_classes", "low_level_filters", "filters", "separable")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def call(self, inputs, training=False):
        """(coarse [B, h, w, C], fine [B, H, W, D]) -> logits [B, H, W, classes]."""
        coarse, fine = inputs
        fine = self.projection(fine, training=training)
        x = tf.concat([resize(coarse, spatial_size(fine)), fine], axis=-1)
        for convolution in self.convolutions:
            x = convolution(x, training=training)
        return self.classifier(x)


@tf.keras.utils.register_keras_serializable(package="adl_tf")
class ResizeLike(tf.keras.layers.Layer):
    """Resizes the first input to the size of the second."""

    def call(self, inputs):
        """([B, h, w, C], [B, H, W, D]) -> [B, H, W, C]."""
        x, like = inputs
        return resize(x, spatial_size(like))
