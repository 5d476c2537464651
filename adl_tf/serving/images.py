"""Encoded images inside a served graph: checked by their headers, decoded, resized.

A failed check ends the request with INVALID_ARGUMENT, which says what is wrong and with which
image of the batch; nothing is allocated for an image before it passes.
"""

from typing import Optional, Tuple

import tensorflow as tf

from adl_tf.data.normalization import normalize
from adl_tf.layers.convolution import resize

_PNG, _PNG_SIZE = b"\x89PNG\r\n\x1a\n", 16  # Offset of width and height in the header.
_JPEG = b"\xff\xd8\xff"
_UNKNOWN = [0, 0]


def decode_batch(
    image_bytes: tf.Tensor, image_size: Optional[Tuple[int, int]], max_pixels: int
) -> Tuple[tf.Tensor, tf.Tensor]:
    """Decodes a batch of images.

    Args:
      image_bytes: string [B], JPEG or PNG.
      image_size: (height, width) to resize to. None: single images keep their size, and a
        batch gets the largest height and the largest width in it.
      max_pixels: most pixels that an image may have and, where `image_size` is None, the batch.

    Returns:
      (images, size): float32 [B, H, W, 3] in [-1, 1], and the size that the result should
      have, int32 [2]: a single image's own, or that of the batch.
    """
    count = tf.size(image_bytes)
    with _check(count > 0, lambda: "no image in the batch: send at least one."):
        image_bytes = tf.identity(image_bytes)
    sizes = tf.map_fn(_header_size, image_bytes, fn_output_signature=tf.TensorSpec([2], tf.int32))
    # A file that is neither JPEG nor PNG has no size: that is checked first.
    known = tf.reduce_all(sizes > 0, axis=-1)
    with _check(tf.reduce_all(known), lambda: _fault(known, _not_an_image(image_bytes, known))):
        sizes = tf.identity(sizes)
    pixels = tf.reduce_prod(tf.cast(sizes, tf.int64), axis=-1)
    small = pixels <= max_pixels
    with _check(tf.reduce_all(small), lambda: _fault(small, _too_large(sizes, small, max_pixels))):
        largest = tf.reduce_max(sizes, axis=0)
    if image_size is None:
        batch_pixels = tf.reduce_prod(tf.cast(largest, tf.int64)) * tf.cast(count, tf.int64)
        message = "the batch resized to {} is larger than {} pixels: send fewer images at a time."
        with _check(
            (count == 1) | (batch_pixels <= max_pixels),
            lambda: tf.strings.format(message, (largest, max_pixels)),
        ):
            target = tf.identity(largest)
    else:
        with tf.control_dependencies([largest]):
            target = tf.constant(image_size, tf.int32)

    def decode(contents):
        image = tf.io.decode_image(contents, channels=3, expand_animations=False)
        image = tf.ensure_shape(image, [None, None, 3])
        return resize(normalize(image)[None], tf.unstack(target))[0]

    with tf.control_dependencies([target]):
        image_bytes = tf.identity(image_bytes)
    shape = [*(image_size or (None, None)), 3]
    images = tf.map_fn(decode, image_bytes, fn_output_signature=tf.TensorSpec(shape, tf.float32))
    return images, tf.where(count == 1, largest, target)


def _header_size(contents):
    """(height, width) of one image as int32 [2], zeros if it is neither JPEG nor PNG."""
    length = tf.strings.length(contents)

    def png_size():
        numbers = tf.io.decode_raw(
            tf.strings.substr(contents, _PNG_SIZE, 8), tf.int32, little_endian=False
        )
        return tf.ensure_shape(numbers[::-1], [2])

    is_png = (length >= _PNG_SIZE + 8) & (tf.strings.substr(contents, 0, len(_PNG)) == _PNG)
    is_jpeg = tf.strings.substr(contents, 0, len(_JPEG)) == _JPEG
    return tf.case(
        [
            (is_png, png_size),
            (is_jpeg, lambda: tf.image.extract_jpeg_shape(contents)[:2]),
        ],
        default=lambda: tf.constant(_UNKNOWN),
    )


def _check(condition, message):
    """A block that runs only if the condition holds; otherwise the request fails."""
    return tf.control_dependencies([tf.debugging.Assert(condition, [message()])])


def _fault(passed, what):
    """Message about the first image that did not pass."""
    first = tf.argmin(tf.cast(passed, tf.int32))
    return tf.strings.join(
        ["image ", tf.strings.as_string(first), " of the batch (counted from 0) ", what]
    )


def _not_an_image(image_bytes, passed):
    contents = image_bytes[tf.argmin(tf.cast(passed, tf.int32))]
    length = tf.strings.length(contents)
    return tf.where(
        length == 0,
        "is empty: send the bytes of a JPEG or PNG file.",
        tf.strings.join(
            [
                "is neither JPEG nor PNG (",
                tf.strings.as_string(length),
                " bytes): send one of the two.",
            ]
        ),
    )


def _too_large(sizes, passed, max_pixels):
    size = sizes[tf.argmin(tf.cast(passed, tf.int32))]
    return tf.strings.join(
        [
            "has ",
            tf.strings.reduce_join(tf.strings.as_string(size), separator=" x "),
            f" pixels; the maximum is {max_pixels}: send a smaller one.",
        ]
    )
