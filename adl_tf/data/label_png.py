"""Label maps in PNG files of any kind, as the class ids that are meant.

TensorFlow's decoder converts what it is given: it paints a palette and weighs its colors, it
stretches 1, 2 and 4 bits to 8 and cuts 16. Of all these only the numbers in the file are class ids.
"""

import struct
import zlib

import tensorflow as tf

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Where the header has them: it is the first chunk, of 13 bytes, and ends with its checksum.
_DEPTH, _COLOR_TYPE, _CHECKSUM, _END = 24, 25, 29, 33
_GRAY, _PALETTE = 0, 3
# Two headers that differ in their color type alone have checksums that differ by this.
_CHANGE = struct.pack(">I", zlib.crc32(bytes(13) + b"\3" + bytes(3)) ^ zlib.crc32(bytes(17)))


def decode_label_png(encoded):
    """The numbers in a PNG: gray values, indices of a palette, or equal red, green and blue.

    Args:
      encoded: string scalar, the file; of 1 to 16 bits, with or without alpha, which is dropped.

    Returns:
      uint8 [H, W].

    Raises:
      tf.errors.InvalidArgumentError: no PNG, or a damaged one; colors; a number beyond 255.
    """
    is_png = (tf.strings.substr(encoded, 0, len(_SIGNATURE)) == _SIGNATURE) & (
        tf.strings.length(encoded) > _END
    )
    checked = tf.debugging.Assert(is_png, ["not a PNG, the only format that keeps class ids"])
    with tf.control_dependencies([checked]):
        header = tf.io.decode_raw(tf.strings.substr(encoded, 0, _END), tf.uint8)
    depth, color_type = header[_DEPTH], header[_COLOR_TYPE]

    def plain():
        return tf.io.decode_png(encoded, channels=1)

    def other():
        content = tf.cond(
            color_type == _PALETTE, lambda: _as_gray(encoded, header), lambda: encoded
        )
        return _numbers(content, tf.cast(depth, tf.int32))

    return tf.squeeze(tf.cond((depth == 8) & (color_type == _GRAY), plain, other), -1)


def _as_gray(encoded, header):
    """The file with a header that says gray: the same numbers, and nothing paints them."""
    checksum = tf.bitwise.bitwise_xor(header[_CHECKSUM:], tf.io.decode_raw(_CHANGE, tf.uint8))
    changed = tf.concat(
        [header[:_COLOR_TYPE], [tf.constant(_GRAY, tf.uint8)], header[_COLOR_TYPE + 1 : _CHECKSUM]],
        0,
    )
    # Bytes become a string by a table, since TensorFlow has no inverse of decode_raw.
    table = tf.constant([bytes([value]) for value in range(256)])
    start = tf.strings.reduce_join(
        tf.gather(table, tf.cast(tf.concat([changed, checksum], 0), tf.int32))
    )
    return start + tf.strings.substr(encoded, _END, -1)


def _numbers(encoded, depth):
    """uint8 [H, W, 1] of a PNG without palette."""
    # In 16 bits the decoder stretches all depths by a whole number.
    pixels = tf.cast(tf.io.decode_png(encoded, channels=3, dtype=tf.uint16), tf.int32)
    pixels //= 65535 // (tf.bitwise.left_shift(1, depth) - 1)
    first = pixels[..., :1]
    gray = tf.debugging.Assert(
        tf.reduce_all(pixels == first), ["its pixels are colors; store class ids"]
    )
    small = tf.debugging.Assert(
        tf.reduce_max(first) <= 255, ["label id", tf.reduce_max(first), "does not fit 8 bits"]
    )
    with tf.control_dependencies([gray, small]):
        return tf.cast(first, tf.uint8)
