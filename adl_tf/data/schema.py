"""The record: one image and its label map, in the features that DeepLab's converters write."""

import re
from typing import Optional

import tensorflow as tf

from adl_tf.data.description import IGNORE_LABEL

_IMAGE = "image/encoded"
_FILENAME = "image/filename"
_LABEL = "image/segmentation/class/encoded"


def encode_example(
    *, filename: str, image: bytes, image_format: str, height: int, width: int, label: bytes
) -> bytes:
    """Serializes one record.

    Args:
      filename: name of the example, unique in its split.
      image: JPEG or PNG bytes of a color image.
      image_format: "jpeg" or "png".
      height: of image and label.
      width: of image and label.
      label: bytes of an 8-bit single-channel PNG whose pixels are class ids; empty when the
        split has no labels.

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
        "image/height": int_feature(height),
        "image/width": int_feature(width),
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
      tf.errors.InvalidArgumentError: not such a record, image or label does not decode, their
        sizes differ, or a label id is out of range.
    """
    features = _parse(serialized)
    image = _decode_image(features)
    label = _decode_label(features, tf.shape(image)[:2], num_classes, labelled)
    return image, label, features[_FILENAME]


def find_fault(serialized: bytes, num_classes: int, labelled: bool = True) -> Optional[str]:
    """Says in a few words why `decode_example` refuses a record; None when it does not."""
    part = "record"
    try:
        features = _parse(serialized)
        part = "image"
        size = tf.shape(_decode_image(features))[:2]
        part = "label"
        _decode_label(features, size, num_classes, labelled)
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


def _decode_label(features, size, num_classes, labelled):
    if not labelled:
        return tf.fill(size, tf.constant(IGNORE_LABEL, tf.uint8))
    present = tf.strings.length(features[_LABEL]) > 0
    present = tf.debugging.Assert(present, [f"the feature {_LABEL} is missing"])
    with tf.control_dependencies([present]):
        label = tf.io.decode_png(features[_LABEL], channels=1)[:, :, 0]
    same_size = tf.debugging.Assert(
        tf.reduce_all(tf.shape(label) == size),
        ["its size", tf.shape(label), "differs from the image's size", size],
    )
    # In 8 bits the ignore label 255 plus 1 is 0, so one maximum checks all pixels.
    largest = tf.cast(tf.reduce_max(label + 1), tf.int32) - 1
    known = tf.debugging.Assert(
        largest < num_classes,
        ["label id", largest, f"is not in 0..{num_classes - 1} nor {IGNORE_LABEL}"],
    )
    with tf.control_dependencies([same_size, known]):
        return tf.identity(label)
