import numpy as np
import pytest
import tensorflow as tf

from adl_tf.models.aspp import SpatialPyramidPooling
from adl_tf.serving.body import precision


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_image_pooling_is_exact_in_low_precision(dtype):
    tf.keras.utils.set_random_seed(0)
    features = tf.random.stateless_uniform([1, 129, 257, 8], [0, 1])
    # More than the largest number of float16, added up.
    features *= 10.0
    exact = SpatialPyramidPooling([2], filters=16)
    expected = exact(features)
    with precision(dtype):
        low = SpatialPyramidPooling([2], filters=16)
        low(features)
        low.set_weights(exact.get_weights())
        output = low(features)
    assert output.dtype == dtype
    np.testing.assert_allclose(output.numpy().astype(np.float32), expected, rtol=0.1, atol=0.1)
    # With the image pooling alone: constant features have their mean everywhere.
    for layer in (exact, low):
        for branch in layer.branches:
            branch.kernel.assign(tf.zeros_like(branch.kernel))
    pooled = [layer(features).numpy().astype(np.float32) for layer in (exact, low)]
    assert np.ptp(pooled[0], axis=(1, 2)).max() < 1e-5
    np.testing.assert_allclose(pooled[1], pooled[0], rtol=0.02, atol=0.1)


def test_it_survives_saving(tmp_path):
    features = tf.random.stateless_uniform([2, 5, 7, 4], [0, 1])
    layers = [SpatialPyramidPooling([2], filters=3) for _ in range(2)]
    outputs = [layer(features) for layer in layers]
    assert not np.allclose(*outputs)
    path = tf.train.Checkpoint(layers[0]).write(str(tmp_path / "weights"))
    tf.train.Checkpoint(layers[1]).read(path).assert_consumed()
    np.testing.assert_array_equal(layers[1](features), outputs[0])


def plain_conv(layer, x, rate):
    """Convolution by shifts, new batch norm in inference, relu."""
    kernel = layer.kernel.numpy()
    side = len(kernel)
    reach = rate * (side // 2)
    padded = np.pad(x, [[0, 0], [reach, reach], [reach, reach], [0, 0]])
    height, width = x.shape[1:3]
    y = sum(
        padded[:, rate * i : rate * i + height, rate * j : rate * j + width] @ kernel[i, j]
        for i in range(side)
        for j in range(side)
    )
    return np.maximum(y / np.sqrt(1 + layer.epsilon), 0)


def test_against_a_plain_one():
    x = np.random.default_rng(0).normal(size=(2, 9, 7, 3)).astype(np.float32)
    layer = SpatialPyramidPooling([2, 3, 40], filters=4)
    result = layer(x)
    mean = x.mean((1, 2), keepdims=True)
    outputs = [np.broadcast_to(plain_conv(layer.pooled, mean, 1), (2, 9, 7, 4))]
    outputs += [plain_conv(b, x, rate) for b, rate in zip(layer.branches, (1, 2, 3, 40))]
    expected = plain_conv(layer.projection, np.concatenate(outputs, -1), 1)
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)
    assert layer.epsilon == 1e-5
