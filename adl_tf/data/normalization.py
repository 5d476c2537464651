"""The only place where pixel values change their range."""

import tensorflow as tf

MEAN_COLOR = 127.5  # In 0..255; the value of padding, which becomes 0 for the network.


def normalize(image):
    """Maps pixels of any dtype from 0..255 to float32 in [-1, 1]; the shape is kept."""
    return tf.cast(image, tf.float32) / MEAN_COLOR - 1.0


def denormalize(image):
    """Maps float [-1, 1] back to uint8 0..255, for pictures; the shape is kept."""
    return tf.saturate_cast(tf.round((image + 1.0) * MEAN_COLOR), tf.uint8)
