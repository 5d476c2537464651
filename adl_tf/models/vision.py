"""The one place that imports keras-cv, and what its networks and ours have in common."""

import contextlib
import io

import tensorflow as tf

with contextlib.redirect_stdout(io.StringIO()):  # It prints the name of its backend.
    import keras_cv


@tf.keras.utils.register_keras_serializable(package="adl_tf")
class SpatialPyramidPooling(keras_cv.layers.SpatialPyramidPooling):
    """keras-cv's ASPP, whose image pooling adds up in float32 in any precision.

    Added up in bfloat16, the mean over a feature map is off by tens of percent: a sum stops
    growing where it is some hundred times as large as what comes next.
    """

    def build(self, input_shape):
        super().build(input_shape)
        *branches, pooling = self.aspp_parallel_channels
        mean = tf.keras.layers.GlobalAveragePooling2D(dtype="float32")
        pooling = tf.keras.Sequential([mean, *pooling.layers[1:]], name=pooling.name)
        pooling.build(input_shape)
        self.aspp_parallel_channels = [*branches, pooling]


def freeze_pooled_norms(network: tf.keras.Model) -> None:
    """Leaves the batch norm of every ASPP's image pooling at its initial identity.

    The batch statistics of one pooled pixel per image are noise when a device has a few
    images, which a network learns to read and then misses in inference.
    """
    for layer in network._flatten_layers():
        if isinstance(layer, SpatialPyramidPooling):
            for sublayer in layer.aspp_parallel_channels[-1].layers:
                if isinstance(sublayer, tf.keras.layers.BatchNormalization):
                    sublayer.trainable = False


def set_norm_momentum(network: tf.keras.Model, momentum: float) -> None:
    """Sets the momentum of the moving statistics of all batch norms."""
    for layer in network._flatten_layers():
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.momentum = momentum
