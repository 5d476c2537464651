import numpy as np
import pytest
import tensorflow as tf

from adl_tf.models.vision import SpatialPyramidPooling
from adl_tf.serving.body import precision


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_image_pooling_is_exact_in_low_precision(dtype):
    tf.keras.utils.set_random_seed(0)
    features = tf.random.stateless_uniform([1, 129, 257, 8], [0, 1])
    # More than the largest number of float16, added up.
    features *= 10.0
    exact = SpatialPyramidPooling([2], num_channels=16)
    expected = exact(features)
    with precision(dtype):
        low = SpatialPyramidPooling([2], num_channels=16)
        low(features)
        low.set_weights(exact.get_weights())
        output = low(features)
    assert output.dtype == dtype
    np.testing.assert_allclose(output.numpy().astype(np.float32), expected, rtol=0.1, atol=0.1)
    pooled = [layer.aspp_parallel_channels[-1](features).numpy() for layer in (exact, low)]
    np.testing.assert_allclose(pooled[1].astype(np.float32), pooled[0], rtol=0.02, atol=0.1)


def test_it_survives_saving(tmp_path):
    features = tf.random.stateless_uniform([2, 5, 7, 4], [0, 1])
    layers = [SpatialPyramidPooling([2], num_channels=3) for _ in range(2)]
    outputs = [layer(features) for layer in layers]
    assert not np.allclose(*outputs)
    path = tf.train.Checkpoint(layers[0]).write(str(tmp_path / "weights"))
    tf.train.Checkpoint(layers[1]).read(path).assert_consumed()
    np.testing.assert_array_equal(layers[1](features), outputs[0])
