"""The record: one image and its label map, in the features that DeepLab's converters write."""

import re
from typing import Optional

import tensorflow as tf

from adl_tf.data.description import IGNORE_LABEL
from adl_tf.data.label_png import decode_label_png

_IMAGE = "image/encoded"
_FILENAME = "image/filename"
_LABEL = "image/segmentation/class/encoded"
_HEIGHT = "image/height"
_WIDTH = "image/width"


def encode_example(
    *, filename: str, image: bytes, image_format: str, height: int, width: int, label: bytes
) -> bytes:
    """Serializes one record.

    Args:
      filename: name of the example, unique in its split.
      image: JPEG or PNG bytes of a color image.
      image_format: "jpeg" or "png".
      height: height of image and label.
      width: width of image and label.
      label: bytes of an 8-bit single-channel PNG whose pixels are class ids; empty if the split has
        no labels.

    Returns:
      a serialized tf.train.Example.
    """

    def bytes_feature(value):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))

    def int_feature(value):
        return tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))

    features = {
        _IMAGE: bytes_feature(image),
        _FILENAME: bytes_feature(filename.encode()),
        "image/format": bytes_feature(image_format.encode()),
        _HEIGHT: int_feature(height),
        _WIDTH: int_feature(width),
        "image/channels": int_feature(3),
        _LABEL: bytes_feature(label),
        "image/segmentation/class/format": bytes_feature(b"png"),
    }
    return tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()


def decode_example(serialized, num_classes: int, labelled: bool = True):
    """Decodes and checks one record, in TensorFlow ops only.

    Args:
      serialized: string scalar.
      num_classes: label ids are 0..num_classes-1 and the ignore label.
      labelled: False for a split without label maps; its labels are all ignored.

    Returns:
      image uint8 [H, W, 3], label uint8 [H, W], filename string scalar.

    Raises:
      tf.errors.InvalidArgumentError: not a valid record, image or label does not decode, their
        sizes differ, or a label id is out of range.
    """
    features = _parse(serialized)
    image = _decode_image(features)
    return image, _label_of(image, features, num_classes, labelled), features[_FILENAME]


def open_example(serialized, num_classes: int):
    """Decodes and checks the label of one record, and any part of its image.

    The rest of a JPEG image is not decoded; damage there, such as a truncated end, goes unnoticed.

    Args:
      serialized: string scalar.
      num_classes: label ids are 0..num_classes-1 and the ignore label.

    Returns:
      function that maps a rectangle, int32 [4] (top, left, height, width), to its pixels,
        uint8 [height, width, 3], equal to those of `decode_example`; to be called once.
      label uint8 [H, W].

    Raises:
      tf.errors.InvalidArgumentError: see `decode_example`; the function raises it too.
    """
    features = _parse(serialized)
    encoded = features[_IMAGE]
    label = _decode_label(features, num_classes)

    def read(rectangle):
        def part_of_jpeg():
            size = tf.io.extract_jpeg_shape(encoded)[:2]
            with tf.control_dependencies([_assert_same_size(label, size)]):
                return _decode_part_of_jpeg(encoded, rectangle, size)

        def part_of_other():
            image = _decode_image(features)
            with tf.control_dependencies([_assert_same_size(label, tf.shape(image)[:2])]):
                return cut(image, rectangle)

        return tf.cond(tf.io.is_jpeg(encoded), part_of_jpeg, part_of_other)

    return read, label


def read_size(serialized):
    """The size that one record gives for its image, without decoding it.

    Args:
      serialized: string scalar.

    Returns:
      int64 [2], height and width; 0 where the record gives none.

    Raises:
      tf.errors.InvalidArgumentError: not a record.
    """
    side = tf.io.FixedLenFeature([], tf.int64, default_value=0)
    features = tf.io.parse_single_example(serialized, {_HEIGHT: side, _WIDTH: side})
    return tf.stack([features[_HEIGHT], features[_WIDTH]])


def cut(image, rectangle):
    """The pixels [height, width, C] of a rectangle [4] (top, left, height, width) of an image."""
    top, left, height, width = tf.unstack(rectangle)
    return image[top : top + height, left : left + width]


def find_fault(serialized: bytes, num_classes: int, labelled: bool = True) -> Optional[str]:
    """Says in a few words why `decode_example` rejects a record; None if it does not."""
    part = "record"
    try:
        features = _parse(serialized)
        part = "image"
        image = _decode_image(features)
        part = "label"
        _label_of(image, features, num_classes, labelled)
    except tf.errors.OpError as error:
        return f"{part}: {describe_error(error)}"
    return None


def describe_error(error: tf.errors.OpError) -> str:
    """The message of a TensorFlow error in one line, without the names of graph nodes."""
    message = error.message.split("Summarized data:")[-1]  # Before it: which assertion failed.
    message = re.sub(r"\{\{.*?\}\}|\[\[.*?\]\]|\[Op:\w+\].*", "", message)
    message = re.sub(r"""b(["'])(.*?)\1""", r"\2", message)
    return " ".join(message.split())


def _parse(serialized):
    return tf.io.parse_single_example(
        serialized,
        {
            _IMAGE: tf.io.FixedLenFeature([], tf.string),
            _FILENAME: tf.io.FixedLenFeature([], tf.string, default_value=""),
            _LABEL: tf.io.FixedLenFeature([], tf.string, default_value=""),
        },
    )


def _decode_image(features):
    image = tf.io.decode_image(features[_IMAGE], channels=3, expand_animations=False)
    return tf.ensure_shape(image, [None, None, 3])


def _decode_part_of_jpeg(encoded, rectangle, size):
    """Decodes one more pixel on each side, since chroma at a border lacks its neighbor."""
    first, stop = rectangle[:2], rectangle[:2] + rectangle[2:]
    start = tf.maximum(first - 1, 0)
    stop = tf.minimum(stop + 1, size)
    image = tf.io.decode_and_crop_jpeg(encoded, tf.concat([start, stop - start], 0), channels=3)
    return cut(image, tf.concat([first - start, rectangle[2:]], 0))


def _label_of(image, features, num_classes, labelled):
    if not labelled:
        return tf.fill(tf.shape(image)[:2], tf.constant(IGNORE_LABEL, tf.uint8))
    label = _decode_label(features, num_classes)
    with tf.control_dependencies([_assert_same_size(label, tf.shape(image)[:2])]):
        return tf.identity(label)


def _decode_label(features, num_classes):
    present = tf.strings.length(features[_LABEL]) > 0
    present = tf.debugging.Assert(present, [f"the feature {_LABEL} is missing"])
    with tf.control_dependencies([present]):
        label = decode_label_png(features[_LABEL])
    # In 8 bits the ignore label 255 plus 1 is 0, so one maximum checks all pixels.
    largest = tf.cast(tf.reduce_max(label + 1), tf.int32) - 1
    known = tf.debugging.Assert(
        largest < num_classes,
        ["label id", largest, f"is neither in 0..{num_classes - 1} nor {IGNORE_LABEL}"],
    )
    with tf.control_dependencies([known]):
        return tf.identity(label)


def _assert_same_size(label, size):
    return tf.debugging.Assert(
        tf.reduce_all(tf.shape(label) == size),
        ["its size", tf.shape(label), "differs from the image's size", size],
    )
