"""custom_gradient: TensorFlow's, without what it adds to graphs."""

import pytest
import tensorflow as tf
from reference import assert_close

from adl_tf.layers.custom_gradient import custom_gradient


def scaled(x, y):
    """(x * y, x + y), whose gradients are ten times too large for x, three times for y."""

    def gradient(of_product, of_sum):
        return 10 * (of_product * y + of_sum), 3 * (of_product * x + of_sum)

    return (x * y, x + y), gradient


@pytest.mark.parametrize("wrap", [lambda f: f, tf.function], ids=["eager", "graph"])
def test_values_and_gradients_are_those_of_tf_custom_gradient(wrap):
    def run(decorate):
        def loss_gradients(x, y):
            with tf.GradientTape() as tape:
                tape.watch([x, y])
                product, total = decorate(scaled)(x, y)
                loss = product**2 + tf.sin(total)
            return [product, total, *tape.gradient(loss, [x, y])]

        return wrap(loss_gradients)(tf.constant(2.0), tf.constant(5.0))

    assert_close(run(custom_gradient), run(tf.custom_gradient))


def test_an_unused_result_has_a_gradient_of_zero():
    x, y = tf.constant(2.0), tf.constant(5.0)
    with tf.GradientTape() as tape:
        tape.watch([x, y])
        product, _ = custom_gradient(scaled)(x, y)
    assert_close(tape.gradient(product, [x, y]), [tf.constant(50.0), tf.constant(6.0)])


def test_variables_are_arguments():
    x, y = tf.Variable(2.0), tf.constant(5.0)
    with tf.GradientTape() as tape:
        product, _ = custom_gradient(scaled)(x, y)
    assert_close([tape.gradient(product, x)], [tf.constant(50.0)])


def test_nothing_is_recorded_of_what_computes_the_result():
    """Only the own gradient passes: the ops inside would add theirs."""

    def stopped(x):
        return x**2, lambda dy: tf.zeros_like(dy)

    x = tf.constant(3.0)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = custom_gradient(stopped)(x)
    assert_close([tape.gradient(y, x)], [tf.constant(0.0)])


def test_a_graph_gets_neither_identities_nor_zeros():
    def step(x, y):
        with tf.GradientTape() as tape:
            tape.watch([x, y])
            product, total = custom_gradient(scaled)(x, y)
            loss = product + total
        return tape.gradient(loss, [x, y])

    one = tf.constant(1.0)
    graph = tf.function(step).get_concrete_function(one, one).graph
    found = {operation.type for operation in graph.get_operations()}
    assert not found & {"IdentityN", "ZerosLike", "Fill"}
