"""The one place that imports keras-cv, and what its networks and ours have in common."""

import contextlib
import io

import tensorflow as tf

with contextlib.redirect_stdout(io.StringIO()):  # It prints the name of its backend.
    import keras_cv


def freeze_pooled_norms(network: tf.keras.Model) -> None:
    """Leaves the batch norm of every ASPP's image pooling at its initial identity.

    The batch statistics of one pooled pixel per image are noise when a device has a few
    images, which a network learns to read and then misses in inference.
    """
    for layer in network._flatten_layers():
        if isinstance(layer, keras_cv.layers.SpatialPyramidPooling):
            for sublayer in layer.aspp_parallel_channels[-1].layers:
                if isinstance(sublayer, tf.keras.layers.BatchNormalization):
                    sublayer.trainable = False


def set_norm_momentum(network: tf.keras.Model, momentum: float) -> None:
    """Sets the momentum of the moving statistics of all batch norms."""
    for layer in network._flatten_layers():
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.momentum = momentum
