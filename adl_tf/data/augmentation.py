"""Random scale, crop and flip of an image with its label map, as pure functions of a seed."""

from typing import Tuple

import tensorflow as tf

from adl_tf.data.description import IGNORE_LABEL
from adl_tf.data.normalization import MEAN_COLOR


def augment(
    read,
    label,
    seed,
    *,
    crop_size: Tuple[int, int],
    min_scale: float,
    max_scale: float,
    scale_step: float,
    flip: bool,
):
    """Scales, crops and flips image and label alike.

    Beyond the image, a crop has the mean color and the ignore label. Only the part of the image
    inside the crop is read.

    Args:
      read: maps a rectangle, int32 [4] (top, left, h, w), to the image's pixels in it,
        uint8 [h, w, 3].
      label: uint8 [H, W].
      seed: integer [2]; the same seed gives the same result.
      crop_size: (height, width) of the result, of any size.
      min_scale: smallest factor.
      max_scale: largest factor.
      scale_step: factors are min_scale, min_scale + scale_step, ...; 0: any between the two.
      flip: whether half of the crops are mirrored left to right.

    Returns:
      image float32 [crop_size, 3] in 0..255, label int32 [crop_size].
    """
    draw = tf.unstack(tf.random.stateless_uniform([4], seed))
    scale = _choose_scale(draw[0], min_scale, max_scale, scale_step)
    size = tf.shape(label)
    top, bottom = _choose_window(size[0], crop_size[0], scale, draw[1])
    left, right = _choose_window(size[1], crop_size[1], scale, draw[2])
    if flip:
        left, right = tf.cond(draw[3] < 0.5, lambda: (right, left), lambda: (left, right))
    # Rounding must not push the border pixels off the image, where they would be ignored.
    window = 0.5 + (tf.stack([top, left, bottom, right]) - 0.5) * (1 - 1e-6)
    rectangle = find_rectangle(window, size)
    image = sample_image(read(rectangle), _relative(window, size, rectangle), crop_size)
    return image, sample_label(label, window, crop_size)


def find_rectangle(window, size):
    """The smallest rectangle of whole pixels that a window's samples are computed from.

    Args:
      window: see `sample_image`.
      size: int32 [2], height and width of the image.

    Returns:
      int32 [4]: top, left, height, width; inside the image.
    """
    corners = _corners(window, size)
    first = tf.cast(tf.floor(tf.reduce_min(corners, 0)), tf.int32)
    stop = tf.cast(tf.floor(tf.reduce_max(corners, 0)), tf.int32) + 2
    first, stop = tf.maximum(first, 0), tf.minimum(stop, size)
    return tf.concat([first, stop - first], 0)


def sample_image(image, window, size: Tuple[int, int]):
    """Resamples one window, bilinear.

    Only the requested pixels are computed, so a crop of a large scaled image costs no more than one
    of a small image.

    Args:
      image: uint8 [H, W, 3].
      window: float32 [4], the centers of the first and the last pixel (top, left, bottom,
        right); 0 and 1 are the centers of the image's border pixels. Swapping left and right
        mirrors it.
      size: (height, width) of the result.

    Returns:
      float32 [size, 3] in 0..255, the mean color beyond the image.
    """
    image = tf.cast(image, tf.float32)  # Once per pixel is cheaper than at each use.
    image = tf.image.crop_and_resize(
        image[tf.newaxis], window[tf.newaxis], [0], size, extrapolation_value=MEAN_COLOR
    )
    return tf.squeeze(image, 0)


def sample_label(label, window, size: Tuple[int, int]):
    """Resamples one window, nearest.

    Args:
      label: uint8 [H, W].
      window: see `sample_image`.
      size: (height, width) of the result.

    Returns:
      int32 [size], the ignore label beyond the image.
    """
    label = tf.image.crop_and_resize(
        label[tf.newaxis, :, :, tf.newaxis],
        window[tf.newaxis],
        [0],
        size,
        method="nearest",
        extrapolation_value=IGNORE_LABEL,
    )
    return tf.cast(tf.squeeze(label, [0, 3]), tf.int32)


def _choose_scale(draw, min_scale, max_scale, scale_step):
    if not scale_step:
        return min_scale + draw * (max_scale - min_scale)
    steps = int((max_scale - min_scale) / scale_step + 1e-6) + 1
    return min_scale + scale_step * tf.floor(draw * steps)


def _choose_window(length, crop, scale, draw):
    """First and last sampled position of one axis, 0 and 1 being the border pixels."""
    last = tf.maximum(1.0, tf.round((tf.cast(length, tf.float32) - 1) * scale))
    slack = last + 1 - crop  # Negative where the crop is larger and the image moves in it.
    first = tf.sign(slack) * tf.floor(draw * (tf.abs(slack) + 1))
    return first / last, (first + crop - 1) / last


def _corners(window, size):
    """First and last sampled position in pixels, float64 [2, 2]."""
    return tf.reshape(tf.cast(window, tf.float64), [2, 2]) * tf.cast(size - 1, tf.float64)


def _relative(window, size, rectangle):
    """A window of an image, relative to a rectangle of it."""
    first, length = tf.split(tf.cast(rectangle, tf.float64), 2)
    relative = (_corners(window, size) - first) / tf.maximum(length - 1, 1)
    return tf.cast(tf.reshape(relative, [4]), tf.float32)
