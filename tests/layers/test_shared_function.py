"""SharedFunction: few graphs, real calls, and only the requested gradients."""

import collections

import pytest
import tensorflow as tf
from reference import assert_close
from tensorflow.python.eager import context

from adl_tf.layers.shared_function import GradientsFor, SharedFunction

LAYERS = 4


class Counted:
    """`(x * w + sin(b), statistics)`, counting how often it is traced."""

    def __init__(self):
        self.traces = 0

    def __call__(self, features, weights, architecture, statistics):
        assert statistics is None
        self.traces += 1
        y = features * weights + tf.sin(architecture)
        return [y], [tf.reduce_mean(features), tf.reduce_max(weights)]


def arguments(shape=(3,)):
    return tuple(tf.random.stateless_normal(shape, [0, seed]) for seed in range(3))


def test_value_and_gradients():
    x, w, b = arguments()
    shared = SharedFunction(Counted())
    with tf.GradientTape() as tape:
        tape.watch([x, w, b])
        (y,), (mean, largest) = shared(GradientsFor.ALL, x, w, b, None)
        loss = tf.reduce_sum(y**2)
    assert_close([y, mean, largest], [x * w + tf.sin(b), tf.reduce_mean(x), tf.reduce_max(w)])
    assert_close(tape.gradient(loss, [x, w, b]), [2 * y * w, 2 * y * x, 2 * y * tf.cos(b)])


@pytest.mark.parametrize(
    "wanted, groups", [("ALL", "xwb"), ("WEIGHTS", "xw"), ("ARCHITECTURE", "xb")]
)
def test_gradients_go_only_where_they_are_wanted(wanted, groups):
    x, w, b = arguments()
    shared = SharedFunction(Counted())
    with tf.GradientTape() as tape:
        tape.watch([x, w, b])
        (y,), _ = shared(GradientsFor[wanted], x, w, b, None)
    gradients = tape.gradient(y, [x, w, b])
    expected = {"x": w, "w": x, "b": tf.cos(b)}
    assert_close(gradients, [g if name in groups else None for name, g in expected.items()])


def test_an_argument_of_another_name_is_refused():
    """What a call names differently cannot lose its gradient in silence."""
    x, w, b = arguments()
    shared = SharedFunction(Counted())
    with pytest.raises(TypeError, match="kernels"):
        shared(GradientsFor.ALL, features=x, kernels=w, architecture=b, statistics=None)
    renamed = SharedFunction(lambda x, kernels, mixing, statistics: ([x], []))
    with pytest.raises(TypeError):
        renamed(GradientsFor.ALL, x, w, b, None)


def test_no_gradient_passes_through_statistics():
    x, w, b = arguments()
    shared = SharedFunction(Counted())
    with tf.GradientTape() as tape:
        tape.watch([x, w])
        (y,), (mean, largest) = shared(GradientsFor.WEIGHTS, x, w, b, None)
        loss = tf.reduce_sum(y) + mean + largest
    assert_close(tape.gradient(loss, [x, w]), [w, x])


def test_an_argument_without_influence_gets_zeros():
    def double(features, weights, architecture, statistics):
        return [2 * features], []

    shared = SharedFunction(double)
    x, unused, _ = arguments()
    with tf.GradientTape() as tape:
        tape.watch([x, unused])
        (y,), _ = shared(GradientsFor.WEIGHTS, x, unused, None, None)
    assert_close(tape.gradient(y, [x, unused]), [2 * tf.ones(3), tf.zeros(3)])


def test_gradients_of_variables():
    w = tf.Variable([1.0, 2.0, 3.0])
    x, _, b = arguments()
    shared = SharedFunction(Counted())
    with tf.GradientTape() as tape:
        (y,), _ = shared(GradientsFor.WEIGHTS, x, w, b, None)
    assert_close([tape.gradient(y, w)], [x])


def chain(shared, x, w, b):
    """`LAYERS` layers of the same function: the output, and the gradients of all arguments."""
    with tf.GradientTape() as tape:
        tape.watch([x, w, b])
        y = x
        for _ in range(LAYERS):
            (y,), _ = shared(GradientsFor.ALL, y, w, b, None)
    return [y, *tape.gradient(y, [x, w, b])]


@pytest.mark.parametrize("trained, traces", [(True, 1), (False, 2)])
def test_equal_signatures_are_traced_once(trained, traces):
    """For both passes if it is trained; otherwise the first pass does not wait for the second."""
    function = Counted()
    shared = SharedFunction(function, trained)
    step = tf.function(lambda *tensors: chain(shared, *tensors))
    step(*arguments())
    assert function.traces == traces
    step(*arguments())
    chain(shared, *arguments())
    assert function.traces == traces
    # Another shape is another signature.
    step(*arguments(shape=(2, 2)))
    assert function.traces == 2 * traces


def test_the_first_pass_has_no_nodes_of_gradients():
    for trained in (True, False):
        shared = SharedFunction(Counted(), trained)
        step = tf.function(lambda *tensors, shared=shared: shared(GradientsFor.ALL, *tensors, None))
        graph = step.get_concrete_function(*arguments()).graph.as_graph_def()
        (body,) = graph.library.function
        assert "Cos" not in {node.op for node in body.node_def}


def count_calls(graph):
    """{function's name: number of calls} in a graph."""
    calls = [node.attr["f"].func.name for node in graph.node if "PartitionedCall" in node.op]
    return collections.Counter(calls)


def test_the_graph_has_a_call_for_each_layer():
    shared = SharedFunction(Counted())
    step = tf.function(lambda *tensors: chain(shared, *tensors))
    graph = step.get_concrete_function(*arguments()).graph.as_graph_def()
    # Forward and backward: two functions, one call of each for each layer.
    assert sorted(count_calls(graph).values()) == [LAYERS, LAYERS]
    assert len(graph.library.function) == 2
    for function in graph.library.function:
        assert function.attr["_noinline"].b


def test_calls_survive_the_optimizer():
    """What runs has calls: inlined copies would all be recomputed, and kept, at once."""
    shared = SharedFunction(Counted())
    step = tf.function(lambda *tensors: chain(shared, *tensors))
    tensors = arguments()
    step.get_concrete_function(*tensors)
    context.enable_run_metadata()
    try:
        step(*tensors)
        (graphs,) = context.export_run_metadata().function_graphs
    finally:
        context.disable_run_metadata()
    assert sum(count_calls(graphs.post_optimization_graph).values()) == 2 * LAYERS


def test_only_arguments_are_kept_between_the_passes():
    """The forward call returns its declared outputs, no intermediates for the backward pass."""
    shared = SharedFunction(Counted())
    step = tf.function(lambda *tensors: chain(shared, *tensors))
    graph = step.get_concrete_function(*arguments()).graph.as_graph_def()
    outputs = {len(function.signature.output_arg) for function in graph.library.function}
    # Forward: the output and two statistics; backward: three gradients.
    assert outputs == {3}


def test_numbers_of_outputs():
    """Several outputs, none of which needs to be used."""

    def function(features, weights, architecture, statistics):
        return [features * weights, features + weights, features], [weights]

    shared = SharedFunction(function)
    x, y, _ = arguments()
    with tf.GradientTape() as tape:
        tape.watch([x, y])
        outputs, statistics = shared(GradientsFor.WEIGHTS, x, y, None, None)
        loss = tf.reduce_sum(3 * outputs[1])
    assert (len(outputs), len(statistics)) == (3, 1)
    assert_close(tape.gradient(loss, [x, y]), [3 * tf.ones(3), 3 * tf.ones(3)])


def test_backward_is_traced_once_for_all_that_is_wanted():
    function = Counted()
    shared = SharedFunction(function)
    for _ in range(2):
        for choice in (GradientsFor.WEIGHTS, GradientsFor.ARCHITECTURE):
            x, w, b = arguments()
            with tf.GradientTape() as tape:
                tape.watch(x)
                (y,), _ = shared(choice, x, w, b, None)
            tape.gradient(y, x)
    assert function.traces == 1


def test_arguments_and_results_are_structures():
    """Gradients go to every tensor of a group; None stays None."""

    def function(features, weights, architecture, statistics):
        first, missing, last = weights
        assert missing is None and architecture is None
        return {"y": features * first["a"] + last}, statistics

    shared = SharedFunction(function)
    x, a, b = arguments()
    with tf.GradientTape() as tape:
        tape.watch([x, a, b])
        outputs, statistics = shared(GradientsFor.WEIGHTS, x, ({"a": a}, None, b), None, x)
    assert_close([outputs["y"], statistics], [x * a + b, x])
    assert_close(tape.gradient(outputs["y"], [x, a, b]), [a, x, tf.ones(3)])


def test_bodies_hold_each_computation_once_and_nothing_unread():
    """As traced, the body has a constant for each use, zeros, and a twin of what it computes."""

    def function(features, weights, architecture, statistics):
        tf.zeros_like(features)  # Nothing reads it.
        first, second = tf.split(tf.sin(features), 2, axis=-1)
        third, fourth = tf.split(tf.identity(tf.sin(features)), 2, axis=-1)
        return [first * fourth, features], [tf.reduce_mean(third)]

    shared = SharedFunction(function)
    step = tf.function(lambda x: shared(GradientsFor.WEIGHTS, x, None, None, None))
    x = tf.constant([[1.0, 2.0]])
    (body,) = step.get_concrete_function(x).graph.as_graph_def().library.function
    ops = collections.Counter(node.op for node in body.node_def)
    # TensorFlow itself adds an identity of each result.
    expected = {"Sin": 1, "Split": 1, "Mul": 1, "Mean": 1, "Const": 2, "Identity": 3}
    assert dict(ops) == expected
    (product, same), (mean,) = step(x)
    expected = [tf.sin(x[:, :1]) * tf.sin(x[:, 1:]), x, tf.sin(1.0)]
    assert_close([product, same, mean], expected)


def test_random_numbers_and_order_stay():
    """Two draws are two; what is stateful runs although nothing reads it."""
    seen = []

    def function(features, weights, architecture, statistics):
        noted = tf.py_function(lambda x: seen.append(float(x)), [features[0]], [])
        with tf.control_dependencies([noted]):
            draws = [tf.random.uniform([]) for _ in range(2)]
        return draws, []

    shared = SharedFunction(function)
    step = tf.function(lambda x: shared(GradientsFor.WEIGHTS, x, None, None, None)[0])
    first, second = step(tf.constant([3.0]))
    assert first != second
    assert seen == [3.0]


def test_functions_inside_run_eagerly_where_all_do():
    shared = SharedFunction(Counted())
    x, w, b = arguments()
    tf.config.run_functions_eagerly(True)
    try:
        with tf.GradientTape() as tape:
            tape.watch(w)
            (y,), _ = shared(GradientsFor.WEIGHTS, x, w, b, None)
        assert_close([y, tape.gradient(y, w)], [x * w + tf.sin(b), x])
    finally:
        tf.config.run_functions_eagerly(False)
