import numpy as np
import tensorflow as tf

from adl_tf.layers.drop import Drop


def test_dropout_in_training_follows_from_the_step():
    x = tf.random.stateless_uniform([4, 9, 9, 8], [0, 1], 1, 2)
    layer = Drop(name="drop")
    np.testing.assert_array_equal(layer(x, training=True), x)
    layer.schedule.assign([0.25, 3])
    dropped = layer(x, training=True).numpy()
    kept = dropped > 0
    assert 0.7 < kept.mean() < 0.8
    np.testing.assert_allclose(dropped[kept], x[kept] / 0.75, rtol=1e-5)
    # The same step drops the same; another step or place other values; inference none.
    np.testing.assert_array_equal(layer(x, training=True), dropped)
    assert (layer(x, "elsewhere", training=True).numpy() != dropped).any()
    layer.schedule.assign([0.25, 4])
    assert (layer(x, training=True).numpy() != dropped).any()
    np.testing.assert_array_equal(layer(x), x)


def test_whole_examples():
    x = tf.ones([400, 2, 2, 3])
    layer = Drop(whole_examples=True)
    layer(x)
    layer.schedule.assign([0.25, 7])
    dropped = layer(x, training=True).numpy()
    per_example = dropped.reshape(400, -1)
    np.testing.assert_array_equal(per_example.min(1), per_example.max(1))
    assert 0.65 < (per_example[:, 0] > 0).mean() < 0.85
    assert Drop.from_config(layer.get_config()).get_config() == layer.get_config()
