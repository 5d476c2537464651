"""The stem: order of its operations, strides and configuration."""

import json

import pytest
import tensorflow as tf
from reference import assert_close, randomize_moving_statistics

from adl_tf.layers.convolution import BATCH_NORM_EPSILON
from adl_tf.layers.stem import Stem


@pytest.mark.parametrize(
    "size, half, quarter", [((33, 37), (17, 19), (9, 10)), ((8, 6), (4, 3), (2, 2))]
)
def test_strides_and_filters(size, half, quarter):
    second, last = Stem()(tf.zeros([2, *size, 3]))
    assert second.shape == (2, *half, 64)
    assert last.shape == (2, *quarter, 128)


def test_convolution_batch_norm_with_relu_between():
    stem = Stem(filters=(4, 5, 6))
    x = tf.random.stateless_normal([2, 9, 12, 3], [0, 1])
    stem(x)
    randomize_moving_statistics(stem)
    expected = []
    y = x
    for convolution, stride in zip(stem.convolutions, (2, 1, 2)):
        norm = convolution.norm
        if expected:
            y = tf.nn.relu(y)
        # At stride 2 every second pixel of the dense convolution is kept, from 0 on.
        y = tf.nn.conv2d(y, convolution.kernel, 1, "SAME")[:, ::stride, ::stride]
        y = tf.nn.batch_normalization(
            y, norm.moving_mean, norm.moving_variance, norm.beta, norm.gamma, BATCH_NORM_EPSILON
        )
        expected.append(y)
    # No relu on what comes out: a cell starts with one.
    assert (expected[-1].numpy() < 0).any()
    assert_close(stem(x, training=False), expected[1:], tolerance=1e-5)
    # Three kernels, and scale and offset of their batch norms; no bias.
    assert len(stem.trainable_variables) == 9


def test_config_round_trip():
    stem = Stem(filters=(4, 5, 6), name="a_stem")
    config = json.loads(json.dumps(stem.get_config()))
    copy = Stem.from_config(config)
    assert copy.get_config() == stem.get_config()
    assert copy.name == "a_stem" and copy.filters == (4, 5, 6)
    x = tf.random.stateless_normal([1, 8, 8, 3], [0, 1])
    stem(x), copy(x)
    copy.set_weights(stem.get_weights())
    assert_close(copy(x), stem(x), tolerance=0)
