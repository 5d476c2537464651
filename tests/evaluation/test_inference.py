"""Averaging over scales, mirrored views and windows, against a slow reference in numpy."""

import numpy as np
import pytest
import tensorflow as tf

from adl_tf.evaluation.inference import Predictor

CLASSES = 4


class Stub:
    """A small convolution; counts how often it is traced."""

    num_classes = CLASSES

    def __init__(self, side=3, symmetric=False):
        kernel = np.random.default_rng(side).normal(size=(side, side, 3, CLASSES))
        self.kernel = ((kernel + kernel[:, ::-1]) / 2 if symmetric else kernel).astype(np.float32)
        self.shapes = []

    def __call__(self, images, training):
        assert training is False
        self.shapes.append(tuple(images.shape[1:3]))
        return tf.nn.conv2d(images, self.kernel, 1, "SAME")


def random_images(height, width, batch=1, seed=0):
    random = np.random.default_rng(seed)
    return random.uniform(-1, 1, (batch, height, width, 3)).astype(np.float32)


def plain_resize(x, size):
    """Bilinear, corners kept: [H, W, C] -> [*size, C]."""
    for axis, new in enumerate(size):
        old = x.shape[axis]
        places = np.linspace(0, old - 1, new) if new > 1 else np.zeros(1)
        low = np.minimum(np.floor(places).astype(int), old - 1)
        high = np.minimum(low + 1, old - 1)
        weight = (places - low).reshape([-1 if a == axis else 1 for a in range(3)])
        x = x.take(low, axis) * (1 - weight) + x.take(high, axis) * weight
    return x


def plain_windows(network, image, crop_size, stride):
    """Every window one by one, pixel by pixel divided by how many there were."""
    height, width = image.shape[:2]
    padded = np.zeros((max(height, crop_size[0]), max(width, crop_size[1]), 3), np.float32)
    padded[:height, :width] = image
    sums = np.zeros((*padded.shape[:2], CLASSES))
    counts = np.zeros((*padded.shape[:2], 1))
    starts = []
    for length, side, step in zip(padded.shape, crop_size, stride):
        start, places = 0, []
        while start + side < length:
            places.append(start)
            start += step
        starts.append([*places, length - side])
    for top in starts[0]:
        for left in starts[1]:
            window = np.s_[top : top + crop_size[0], left : left + crop_size[1]]
            sums[window] += network(padded[window][None], training=False)[0]
            counts[window] += 1
    return (sums / counts)[:height, :width]


def plain_probabilities(network, image, scales, flip, crop_size=None, stride=None):
    views = []
    for scale in scales:
        size = [int((side - 1) * scale + 1) for side in image.shape[:2]]
        for mirrored in (False, True) if flip else (False,):
            view = plain_resize(image, size).astype(np.float32)
            view = view[:, ::-1] if mirrored else view
            if crop_size:
                logits = plain_windows(network, view, crop_size, stride)
            else:
                logits = network(view[None], training=False)[0].numpy()
            logits = logits[:, ::-1] if mirrored else logits
            logits = plain_resize(logits.astype(np.float64), image.shape[:2])
            exponents = np.exp(logits - logits.max(-1, keepdims=True))
            views.append(exponents / exponents.sum(-1, keepdims=True))
    return np.mean(views, 0)


@pytest.mark.parametrize("known_size", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        {"scales": [1.0], "flip": False},
        {"scales": [0.5, 1.0, 1.75], "flip": True},
        {"scales": [0.75, 1.25], "flip": False, "crop_size": (9, 13), "stride": (4, 5)},
        {"scales": [0.5, 1.5], "flip": True, "crop_size": (16, 8), "stride": (16, 3)},
        {"scales": [1.0], "flip": True, "crop_size": (40, 40), "stride": (10, 10)},
    ],
)
@pytest.mark.parametrize("size", [(17, 23), (12, 16), (1, 5)])
def test_equals_the_plain_reference(size, options, known_size):
    network = Stub()
    images = random_images(*size, batch=2)
    predictor = Predictor(network, image_size=size if known_size else None, **options)
    found = predictor.probabilities(images).numpy()
    assert found.dtype == np.float32
    expected = [plain_probabilities(network, image, **options) for image in images]
    np.testing.assert_allclose(found, expected, atol=2e-6)
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-5)
    np.testing.assert_array_equal(predictor(images), np.argmax(expected, -1))


def test_scale_1_is_the_argmax_of_the_network():
    network, images = Stub(), random_images(33, 47)
    found = Predictor(network)(images)
    assert found.dtype == tf.int32
    np.testing.assert_array_equal(found, np.argmax(network(images, training=False), -1))


def test_one_window_of_the_images_size_is_the_whole_image():
    network, images = Stub(), random_images(21, 30)
    options = {"scales": [1.0], "flip": True}
    np.testing.assert_array_equal(
        Predictor(network, crop_size=(21, 30), **options).probabilities(images),
        Predictor(network, **options).probabilities(images),
    )


def test_windows_do_not_matter_to_a_network_without_context():
    network, images = Stub(side=1), random_images(21, 30)
    whole = Predictor(network).probabilities(images)
    for crop_size in [(50, 50), (7, 50), (8, 8), (1, 1)]:
        found = Predictor(network, crop_size=crop_size).probabilities(images)
        np.testing.assert_allclose(found, whole, atol=1e-6)


def test_flip_does_not_matter_to_a_network_that_mirrors():
    network, images = Stub(symmetric=True), random_images(20, 31)
    flipped = Predictor(network, flip=True)
    np.testing.assert_allclose(
        flipped.probabilities(images), Predictor(network).probabilities(images), atol=1e-6
    )
    # And with flips every network mirrors.
    flipped = Predictor(Stub(), flip=True, scales=[0.5, 1.0])
    np.testing.assert_allclose(
        flipped.probabilities(images[:, :, ::-1])[:, :, ::-1],
        flipped.probabilities(images),
        atol=1e-6,
    )


def test_many_sizes_are_traced_once():
    network = Stub()
    predictor = Predictor(network, scales=[0.5, 1.0, 1.25], flip=True)
    for side in range(5, 25):
        assert predictor(random_images(side, 2 * side)).shape == (1, side, 2 * side)
    assert network.shapes == [(None, None)]


def test_one_size_is_traced_with_static_shapes_once_per_scale():
    network = Stub()
    predictor = Predictor(network, scales=[0.5, 1.0], flip=True, image_size=(9, 17))
    for _ in range(3):
        predictor(random_images(9, 17))
    assert network.shapes == [(5, 9), (9, 17)]


def test_windows_are_static_whatever_the_image():
    network = Stub()
    predictor = Predictor(network, scales=[0.5, 1.0], crop_size=(8, 9))
    for side in range(5, 15):
        predictor(random_images(side, 2 * side))
    assert network.shapes == [(8, 9)]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"scales": []}, "give at least one"),
        ({"scales": [1.0, 0.0]}, "each above 0"),
        ({"crop_size": (0, 5)}, "both sides must be above 0"),
        ({"stride": (5, 5)}, "give crop_size too"),
        ({"crop_size": (8, 8), "stride": (9, 8)}, "no longer than the window"),
        ({"crop_size": (8, 8), "stride": (0, 8)}, "at least 1"),
    ],
)
def test_bad_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        Predictor(Stub(), **options)
