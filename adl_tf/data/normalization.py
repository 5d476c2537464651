"""The only place where pixel values change their range."""

import tensorflow as tf

MEAN_COLOR = 127.5  # In 0..255; the value of padding, which becomes 0 for the network.


def normalize(image):
    """Maps pixels of any dtype from 0..255 to float32 in [-1, 1]; the shape is kept."""
    return tf.cast(image, tf.float32) / MEAN_COLOR - 1.0


def require_normalized(images) -> None:
    """Makes sure that images went through `normalize`, as far as their dtype says so.

    Args:
      images: a tensor, an array, or anything else with a dtype.

    Raises:
      ValueError: images of integers, which Keras would cast and pass on as 0..255.
    """
    dtype = tf.as_dtype(images.dtype)
    if not dtype.is_floating:
        raise ValueError(
            f"images are {dtype.name}, but networks take float32 in [-1, 1]; use "
            "adl_tf.normalize(images)."
        )


def denormalize(image):
    """Maps float [-1, 1] back to uint8 0..255, for pictures; the shape is kept."""
    return tf.saturate_cast(tf.round((image + 1.0) * MEAN_COLOR), tf.uint8)
