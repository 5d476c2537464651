"""The substitute for tensorflow-addons' moving average: same values, same checkpoints."""

import numpy as np
import pytest
import tensorflow as tf

from adl_tf.training.moving_average import MovingAverage
from adl_tf.training.optimizers import create_variables

INNER = {
    "sgd": lambda: tf.keras.optimizers.legacy.SGD(0.1, momentum=0.9),
    "adam": lambda: tf.keras.optimizers.legacy.Adam(
        tf.keras.optimizers.schedules.PolynomialDecay(0.01, 10)
    ),
}


def train(optimizer, variables, steps=6):
    """Trains as `fit` does; returns the averages."""
    create_variables(optimizer, variables)

    @tf.function
    def step(number):
        gradients = [variable * (number + 1.0) for variable in variables]
        optimizer.apply_gradients(zip(gradients, variables))

    for number in range(steps):
        step(tf.constant(float(number)))
    return [optimizer.get_slot(variable, "average").numpy() for variable in variables]


def make_variables():
    return [tf.Variable([1.0, -2.0], name="a"), tf.Variable([[0.5]], name="b")]


@pytest.mark.parametrize("dynamic", [True, False])
def test_the_average_is_that_of_its_equation(dynamic):
    variable = tf.Variable(2.0)
    optimizer = MovingAverage(tf.keras.optimizers.legacy.SGD(0.1), 0.5, dynamic_decay=dynamic)
    create_variables(optimizer, [variable])
    average = value = 2.0
    for step in range(5):
        optimizer.apply_gradients([(tf.constant(1.0), variable)])
        value -= 0.1
        decay = min(0.5, (1 + step) / (10 + step)) if dynamic else 0.5
        average -= (average - value) * (1 - decay)
        np.testing.assert_allclose(optimizer.get_slot(variable, "average").numpy(), average, 1e-6)
    optimizer.assign_average_vars([variable])
    np.testing.assert_allclose(variable.numpy(), average, 1e-6)


@pytest.mark.parametrize("inner", INNER)
@pytest.mark.parametrize("dynamic", [True, False])
def test_values_and_checkpoints_are_those_of_addons(inner, dynamic, tmp_path):
    addons = pytest.importorskip("tensorflow_addons").optimizers.MovingAverage
    found = {}
    for name, make in (("ours", MovingAverage), ("addons", addons)):
        variables = make_variables()
        optimizer = make(INNER[inner](), average_decay=0.9, dynamic_decay=dynamic)
        averages = train(optimizer, variables)
        checkpoint = tf.train.Checkpoint(optimizer=optimizer, a=variables[0], b=variables[1])
        path = checkpoint.write(str(tmp_path / name))
        reader = tf.train.load_checkpoint(path)
        keys = reader.get_variable_to_shape_map()
        found[name] = {key: reader.get_tensor(key) for key in keys if "OBJECT_GRAPH" not in key}
        found[name].update({f"average {i}": average for i, average in enumerate(averages)})
    assert found["ours"].keys() == found["addons"].keys()
    for key, value in found["addons"].items():
        np.testing.assert_array_equal(found["ours"][key], value, key)


def test_it_survives_serialization():
    optimizer = MovingAverage(tf.keras.optimizers.legacy.SGD(0.25), 0.9, dynamic_decay=True)
    again = MovingAverage.from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config()
    assert float(again.learning_rate) == 0.25
