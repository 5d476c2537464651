"""Variables that are created quickly are the same but for their names."""

import numpy as np
import tensorflow as tf

from adl_tf.layers.conv_norm import ConvNorm
from adl_tf.layers.variables import of_one_name
from adl_tf.training.optimizers import create_variables, training_optimizer


def build():
    tf.keras.utils.set_random_seed(0)
    layer = ConvNorm(3, kernel_size=3, separable=True)
    layer.build((None, 8, 8, 4))
    return layer


def test_one_name_changes_nothing_else():
    named = build()
    with of_one_name("candidate"):
        quick = build()
    assert {variable.name for variable in quick.variables} == {"candidate:0"}
    assert len({variable.name for variable in named.variables}) == len(named.variables)
    for one, other in zip(named.variables, quick.variables, strict=True):
        assert one.trainable == other.trainable and one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    assert "candidate" not in build().kernel.name


def test_an_optimizer_keeps_the_states_of_equally_named_variables_apart():
    with of_one_name("candidate"):
        weights = [tf.Variable(np.full(2, value, np.float32)) for value in (1, 2)]
    optimizer = training_optimizer(10, initial_rate=1.0, momentum=0.5)
    create_variables(optimizer, weights)
    for _ in range(2):
        optimizer.apply_gradients([(tf.ones(2), weights[0]), (tf.zeros(2), weights[1])])
    assert weights[0].numpy()[0] < 1 - 1.9  # The second step has momentum.
    np.testing.assert_array_equal(weights[1], 2.0)
