"""Decoding a part of an image gives the pixels of the whole one."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tiny_dataset import NUM_CLASSES, encode, png

from adl_tf.data import schema

HEIGHT, WIDTH = 53, 75


def noise():
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


def jpeg(mode="RGB", **options):
    buffer = io.BytesIO()
    Image.fromarray(noise()).convert(mode).save(buffer, "JPEG", **options)
    return buffer.getvalue()


def record(image, height=HEIGHT, **changes):
    label = np.zeros((height, WIDTH), np.uint8)
    return tf.constant(encode(0, image=image, label=png(label), **changes))


@tf.function
def decode_part(serialized, rectangle):
    return schema.open_example(serialized, NUM_CLASSES)[0](rectangle)


IMAGES = {
    "png": png(noise()),
    "gray png": png(noise()[..., 0]),
    "4:4:4": jpeg(subsampling=0),
    "4:2:2": jpeg(subsampling=1),
    "4:2:0": jpeg(subsampling=2),
    "4:2:0 progressive": jpeg(subsampling=2, progressive=True),
    "4:2:0 with restarts": jpeg(subsampling=2, restart_marker_blocks=3),
    "gray": jpeg("L"),
    "cmyk": jpeg("CMYK"),
}


@pytest.mark.parametrize("name", IMAGES)
def test_part_of_an_image_equals_that_of_the_whole(name):
    serialized = record(IMAGES[name])
    whole, _, _ = schema.decode_example(serialized, NUM_CLASSES)
    rng = np.random.default_rng(1)
    for _ in range(150):
        top, left = rng.integers(HEIGHT), rng.integers(WIDTH)
        height, width = rng.integers(1, HEIGHT - top + 1), rng.integers(1, WIDTH - left + 1)
        part = decode_part(serialized, tf.constant([top, left, height, width], tf.int32))
        np.testing.assert_array_equal(part, whole[top : top + height, left : left + width])


@pytest.mark.parametrize("image", [jpeg(), png(noise())])
def test_the_declared_format_is_not_relied_on(image):
    for declared in ("png", "jpeg", "bmp"):
        serialized = record(image, image_format=declared)
        whole, _, _ = schema.decode_example(serialized, NUM_CLASSES)
        part = decode_part(serialized, tf.constant([9, 8, 7, 6]))
        np.testing.assert_array_equal(part, whole[9:16, 8:14])


@pytest.mark.parametrize("image", [jpeg(), png(noise())])
def test_image_of_another_size_than_its_label_is_refused(image):
    with pytest.raises(tf.errors.InvalidArgumentError, match="differs from the image"):
        decode_part(record(image, height=HEIGHT + 1), tf.constant([0, 0, 4, 4]))


def test_truncated_jpeg_fails_only_where_its_end_is_needed():
    image = jpeg(subsampling=0)
    serialized = record(image[: len(image) // 2])
    decode_part(serialized, tf.constant([0, 0, 8, 8]))
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_part(serialized, tf.constant([HEIGHT - 8, 0, 8, 8]))
    assert schema.find_fault(serialized, NUM_CLASSES).startswith("image: ")
