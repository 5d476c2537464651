"""The mask inside a record, for faults that change it."""

import io

import numpy as np
import tensorflow as tf
from PIL import Image

_MASK = "image/segmentation/class/encoded"


def decode_mask(record):
    """uint8 [H, W]."""
    example = tf.train.Example.FromString(record)
    encoded = example.features.feature[_MASK].bytes_list.value[0]
    return np.asarray(Image.open(io.BytesIO(encoded)))


def with_mask(record, mask):
    """The record with another mask."""
    example, png = tf.train.Example.FromString(record), io.BytesIO()
    Image.fromarray(mask).save(png, "PNG")
    example.features.feature[_MASK].bytes_list.value[0] = png.getvalue()
    return example.SerializeToString()
