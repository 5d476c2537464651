"""Fast convolutions, pooling and resizing against TensorFlow's own ops and autodiff."""

import numpy as np
import pytest
import tensorflow as tf
from reference import assert_close
from reference import resize as plain_resize

from adl_tf.layers.convolution import (
    BATCH_NORM_EPSILON,
    average_pool,
    batch_norm,
    conv2d,
    depthwise_conv2d,
    in_phases,
    resize,
    sum_channel_groups,
    tile_channels,
)
from adl_tf.space.search_space import halve

SIZES = [(7, 9), (6, 8), (5, 4)]
# Smaller than a 5x5 kernel, a rate of 2 or a pooling window: what an image of 33x33 is
# at stride 32.
SMALL_SIZES = [(1, 1), (1, 4), (2, 2), (3, 1)]


def random(*shape, seed=0):
    return tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float32)


def value_and_gradients(function, *arguments):
    """Output, and gradients of its product with a fixed random tensor."""
    with tf.GradientTape() as tape:
        tape.watch(arguments)
        y = function(*arguments)
        loss = tf.reduce_sum(y * random(*y.shape, seed=99))
    return [y, *tape.gradient(loss, arguments)]


def assert_same(fast, plain, *arguments, tolerance=1e-5):
    expected = value_and_gradients(plain, *arguments)
    assert_close(value_and_gradients(fast, *arguments), expected, tolerance=tolerance)


def convolution_by_taps(x, kernel, rate, depthwise):
    """A stride-1 SAME convolution as a sum over taps of shifted images; nothing to get wrong."""
    side, (height, width) = kernel.shape[0], x.shape[1:3]
    reach = rate * (side // 2)
    padded = tf.pad(x, [[0, 0], [reach, reach], [reach, reach], [0, 0]])
    total = 0.0
    for i in range(side):
        for j in range(side):
            row, column = i * rate, j * rate
            shifted = padded[:, row : row + height, column : column + width]
            tap = kernel[i, j]
            total += shifted * tap[:, 0] if depthwise else tf.einsum("bhwc,cd->bhwd", shifted, tap)
    return total


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("size", SIZES + SMALL_SIZES)
def test_pointwise_convolution(size, training):
    x, kernel = random(2, *size, 5), random(1, 1, 5, 3, seed=1)
    assert_same(
        lambda x, kernel: conv2d(x, kernel, training=training),
        lambda x, kernel: convolution_by_taps(x, kernel, rate=1, depthwise=False),
        x,
        kernel,
    )


def test_pointwise_convolution_of_any_size():
    kernel = random(1, 1, 5, 3)
    convolve = tf.function(
        lambda x: conv2d(x, kernel), input_signature=[tf.TensorSpec([None, None, None, 5])]
    )
    for size in SIZES:
        x = random(2, *size, 5)
        assert_close(convolve(x), conv2d(x, kernel))
    assert convolve.get_concrete_function().output_shapes.as_list() == [None, None, None, 3]


@pytest.mark.parametrize("size", SIZES + SMALL_SIZES)
@pytest.mark.parametrize("side", [3, 5])
def test_depthwise_conv2d(side, size):
    def plain(x, kernel):
        return tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "SAME")

    assert_same(depthwise_conv2d, plain, random(2, *size, 3), random(side, side, 3, 1, seed=1))


@pytest.mark.parametrize("size", SIZES + SMALL_SIZES)
@pytest.mark.parametrize("side", [3, 5])
def test_depthwise_conv2d_in_phases_is_atrous(side, size):
    def fast(x, kernel):
        return in_phases(lambda phases: depthwise_conv2d(phases, kernel), x, 2)

    def plain(x, kernel):
        return convolution_by_taps(x, kernel, rate=2, depthwise=True)

    def native(x, kernel):
        return tf.nn.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "SAME", dilations=[2, 2])

    arguments = random(2, *size, 3), random(side, side, 3, 1, seed=1)
    assert_same(fast, plain, *arguments)
    # The reference network uses this one.
    assert_same(native, plain, *arguments)


@pytest.mark.parametrize("size", SIZES + SMALL_SIZES)
def test_full_atrous_convolutions_of_tensorflow_are_right(size):
    """Fast layers and reference both rely on the native kernel, so it is checked by itself."""
    for side in (3, 5):

        def native(x, kernel):
            return tf.nn.conv2d(x, kernel, 1, "SAME", dilations=2)

        def plain(x, kernel):
            return convolution_by_taps(x, kernel, rate=2, depthwise=False)

        assert_same(native, plain, random(2, *size, 3), random(side, side, 3, 4, seed=1))


def test_in_phases_with_other_rates_and_channels():
    def fast(x, kernel):
        return in_phases(lambda phases: tf.nn.conv2d(phases, kernel, 1, "SAME"), x, 3)

    def plain(x, kernel):
        return convolution_by_taps(x, kernel, rate=3, depthwise=False)

    assert_same(fast, plain, random(2, 7, 8, 3), random(3, 3, 3, 5, seed=1))


@pytest.mark.parametrize("size", SIZES + SMALL_SIZES)
def test_average_pool(size):
    def plain(x):
        return tf.nn.avg_pool2d(x, 3, 1, "SAME")

    assert_same(average_pool, plain, random(2, *size, 3))


@pytest.mark.parametrize("channels", [3, 20])
@pytest.mark.parametrize("copies", [1, 2, 5])
def test_tile_and_sum_channel_groups(copies, channels):
    x = random(2, 3, 4, channels)
    assert_same(lambda x: tile_channels(x, copies), lambda x: tf.tile(x, [1, 1, 1, copies]), x)
    assert_same(
        lambda x: sum_channel_groups(x, copies),
        lambda x: tf.add_n(tf.split(x, copies, axis=-1)),
        random(2, 3, 4, channels * copies),
    )
    # Edge-major: copy after copy, not channel after channel.
    np.testing.assert_array_equal(tile_channels(x, copies)[..., :channels], x)


@pytest.mark.parametrize("channels", [3, 40])
def test_sums_of_channel_groups_in_bfloat16_round_once(channels):
    """Ten terms, added in float32."""
    x = tf.cast(random(2, 3, 4, 10 * channels), tf.bfloat16)
    exact = tf.reduce_sum(tf.reshape(tf.cast(x, tf.float32), [2, 3, 4, 10, channels]), axis=3)
    y = sum_channel_groups(x, 10)
    np.testing.assert_array_equal(
        tf.cast(y, tf.float32), tf.cast(tf.cast(exact, tf.bfloat16), tf.float32)
    )
    assert tile_channels(y, 2).dtype == y.dtype


@pytest.mark.parametrize("channels", [8, 16])
def test_batch_norm_in_bfloat16_is_that_of_float32_rounded(channels):
    """One width is normalized in 16 bits, the other is not."""
    x = tf.cast(3.0 + 2.0 * random(2, 3, 5, channels), tf.bfloat16)
    zeros = tf.zeros([channels])
    y, mean, variance = batch_norm(x, zeros, zeros)
    expected = batch_norm(tf.cast(x, tf.float32), zeros, zeros)
    assert y.dtype == tf.bfloat16
    assert_close([mean, variance], expected[1:], tolerance=1e-5)
    np.testing.assert_allclose(tf.cast(y, tf.float32), expected[0], atol=0.02)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("with_scale", [True, False])
def test_batch_norm(training, with_scale):
    x = 3.0 + 2.0 * random(2, 3, 5, 4)
    mean, variance = random(4, seed=1), tf.exp(random(4, seed=2))
    scale = random(4, seed=3)

    def fast(x, scale):
        return batch_norm(x, mean, variance, scale if with_scale else None, training)[0]

    def plain(x, scale):
        moments = tf.nn.moments(x, [0, 1, 2]) if training else (mean, variance)
        factor = scale if with_scale else None
        return tf.nn.batch_normalization(x, *moments, None, factor, BATCH_NORM_EPSILON)

    assert_same(fast, plain, x, scale, tolerance=1e-4)
    if training:
        used = batch_norm(x, mean, variance, scale)[1:]
        flat = tf.reshape(x, [-1, 4]).numpy()
        # Unbiased, as the moving variance is to be.
        assert_close(used, [flat.mean(axis=0), flat.var(axis=0, ddof=1)], tolerance=1e-5)


def test_batch_norm_of_a_single_value_is_finite():
    """One image whose map is 1x1: nothing to normalize with, but no NaN in moving variances."""
    y, mean, variance = batch_norm(tf.constant([[[[2.0, -3.0]]]]), tf.zeros(2), tf.ones(2))
    assert_close([y[0, 0, 0], mean, variance], [[0.0, 0.0], [2.0, -3.0], [0.0, 0.0]])


@pytest.mark.parametrize(
    "old, new", [((5, 6), (9, 11)), ((3, 4), (6, 8)), ((7, 9), (4, 5)), ((1, 1), (2, 3))]
)
def test_resize(old, new):
    x = random(2, *old, 3)
    assert_same(lambda x: resize(x, new), lambda x: plain_resize(x, new), x)
    y = resize(x, new)
    for row in (0, -1):
        for column in (0, -1):
            np.testing.assert_array_equal(y[:, row, column], x[:, row, column])


def test_resize_to_its_own_size_is_the_identity():
    x = random(1, 4, 5, 2)
    assert resize(x, (4, 5)) is x
    assert resize(x, [4, 5]) is x


def test_doubling_keeps_every_pixel():
    """Up from n to 2 (n - 1) + 1, the paper's odd sizes: old pixels stay where they are."""
    x = random(1, 4, 5, 2)
    np.testing.assert_allclose(resize(x, (7, 9))[:, ::2, ::2], x, rtol=1e-6)


def test_halve_is_what_a_convolution_does():
    side, sides = 321, []
    while side > 11:
        side, _ = halve((side, side))
        sides.append(side)
    assert sides == [161, 81, 41, 21, 11]
    for size in [(1, 2), (7, 8), (33, 50)]:
        y = tf.nn.conv2d(tf.zeros([1, *size, 1]), tf.zeros([3, 3, 1, 1]), 2, "SAME")
        assert halve(size) == tuple(y.shape[1:3])
