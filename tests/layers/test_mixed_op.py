"""The packing of kernels and of alpha: where each op and edge is found."""

import json

import numpy as np
import pytest
import tensorflow as tf
from reference import assert_close, relative_error

from adl_tf.layers.convolution import BATCH_NORM_EPSILON
from adl_tf.layers.gated_cell import cell_packing
from adl_tf.layers.mixed_op import MixedOp, Packing, mixing_weights
from adl_tf.space.ops import (
    ATROUS,
    AVERAGE_POOL,
    MAX_POOL,
    OPS,
    SEPARABLE,
    SKIP,
    ZERO,
    get_op,
)

FILTERS = 2
PACKING = Packing(OPS, True, FILTERS, edges=(3, 1))


def test_cells_have_all_edges():
    """Both inputs feed all blocks, block i the later ones: 5 + 5 + 4 + 3 + 2 + 1 = 20."""
    packing = cell_packing(OPS, True, num_blocks=5, filters=8)
    assert packing.edges == (5, 5, 4, 3, 2, 1)
    assert cell_packing(OPS, True, num_blocks=1, filters=8).edges == (1, 1)


def test_groups_are_independent_of_the_order_of_ops():
    packing = Packing(OPS[::-1], True, FILTERS, edges=(1,))
    assert packing.separable == ("sep_conv_3x3", "sep_conv_5x5")
    assert packing.atrous == ("atrous_conv_3x3", "atrous_conv_5x5")
    assert packing.weightless == ("max_pool_3x3", "avg_pool_3x3", "skip_connect")
    assert [get_op(op).kernel for op in packing.separable] == [3, 5]


def test_masks_keep_the_middle_of_smaller_kernels():
    mask = PACKING.kernel_mask(PACKING.separable)
    assert mask.shape == (5, 5, 2 * 4 * FILTERS, 1)
    # Layout: source state, then [op, edge, filter].
    taps = mask.sum(axis=(0, 1))[:, 0]
    assert taps.tolist() == [9] * 3 * FILTERS + [25] * 3 * FILTERS + [9] * FILTERS + [25] * FILTERS
    np.testing.assert_array_equal(mask[:, :, 0, 0], np.pad(np.ones((3, 3)), 1))
    alone = PACKING.kernel_mask(["sep_conv_3x3"])
    assert alone.shape[:2] == (3, 3) and alone.all()


@pytest.mark.parametrize("separable_atrous", [True, False])
def test_scales_repeat_the_probabilities_in_packed_order(separable_atrous):
    packing = Packing(OPS, separable_atrous, FILTERS, edges=(3, 1))
    probabilities = np.arange(4 * 8, dtype=np.float32).reshape(4, 8)
    mixing = mixing_weights(packing, tf.constant(probabilities))

    def expected(ops):
        rows = [(op, row) for source in [(0, 1, 2), (3,)] for op in ops for row in source]
        return [probabilities[row, OPS.index(op)] for op, row in rows for _ in range(FILTERS)]

    assert mixing.separable.numpy().tolist() == expected(packing.separable)
    assert mixing.atrous.numpy().tolist() == expected(packing.atrous)
    # The kernel spreads pools and skip over the edges: channel c to channel c of each.
    kernel = mixing.weightless
    assert kernel.shape == (1, 1, 3 * FILTERS, 4 * FILTERS)
    for i, op in enumerate(packing.weightless):
        for edge in range(4):
            block = kernel[0, 0, i * FILTERS :, edge * FILTERS :][:FILTERS, :FILTERS]
            np.testing.assert_array_equal(block, probabilities[edge, OPS.index(op)] * np.eye(2))


def test_only_what_the_space_has():
    probabilities = tf.ones([1, 1])
    for op, present in (
        ("sep_conv_3x3", ["separable"]),
        ("atrous_conv_5x5", ["atrous"]),
        ("skip_connect", ["weightless"]),
        ("none", []),
    ):
        packing = Packing((op,), True, FILTERS, edges=(1,))
        mixing = mixing_weights(packing, probabilities)._asdict()
        assert [name for name, tensor in mixing.items() if tensor is not None] == present
    assert Packing(("skip_connect",), True, FILTERS, edges=(1,)).kernel_shapes() == {}


def test_gradients_of_alpha_are_dense():
    """Sparse gradients would be turned into dense ones by every optimizer step."""
    probabilities = tf.Variable(tf.ones([4, 8]))
    with tf.GradientTape() as tape:
        loss = tf.add_n([tf.reduce_sum(w) for w in mixing_weights(PACKING, probabilities)])
    gradient = tape.gradient(loss, probabilities)
    assert isinstance(gradient, tf.Tensor)
    # Every op but none is used once on every edge, on each of the C filters.
    expected = np.full((4, 8), FILTERS)
    expected[:, OPS.index("none")] = 0
    assert relative_error(gradient, expected) < 1e-6


def plain_op(op, x, kernels):
    """A candidate op as a chain of TensorFlow ops, with batch statistics."""

    def norm(y):
        mean, variance = tf.nn.moments(y, [0, 1, 2])
        return (y - mean) / tf.sqrt(variance + BATCH_NORM_EPSILON)

    def separable(y, depthwise, pointwise, rate=1):
        y = tf.nn.depthwise_conv2d(tf.nn.relu(y), depthwise, [1] * 4, "SAME", dilations=[rate] * 2)
        return norm(tf.nn.conv2d(y, pointwise, 1, "SAME"))

    kind, side = get_op(op).kind, get_op(op).kernel
    if kind == ZERO:
        return tf.zeros_like(x)
    if kind == SKIP:
        return x
    if kind == MAX_POOL:
        return norm(tf.nn.max_pool2d(x, side, 1, "SAME"))
    if kind == AVERAGE_POOL:
        return norm(tf.nn.avg_pool2d(x, side, 1, "SAME"))
    if kind == SEPARABLE:
        return separable(separable(x, *kernels[:2]), *kernels[2:])
    assert kind == ATROUS
    if len(kernels) == 2:
        return separable(x, *kernels, rate=2)
    return norm(tf.nn.conv2d(tf.nn.relu(x), kernels[0], 1, "SAME", dilations=2))


@pytest.mark.parametrize("separable_atrous", [True, False])
@pytest.mark.parametrize("op", OPS)
def test_one_op_is_that_candidate_op(op, separable_atrous):
    x = tf.random.normal([2, 9, 8, 4])
    layer = MixedOp((op,), filters=4, separable_atrous=separable_atrous)
    y = layer(x, tf.ones([1, 1]), training=True)
    assert relative_error(y, plain_op(op, x, list(layer.kernels.values()))) < 1e-4 or op == "none"
    assert op != "none" or not np.any(y)


def test_an_edge_is_the_sum_of_its_ops_by_probability():
    x = tf.random.normal([2, 7, 7, 4])
    ops = ("none", "max_pool_3x3", "skip_connect", "sep_conv_5x5", "atrous_conv_3x3")
    mixed = MixedOp(ops, filters=4, edges=(1,))
    probabilities = tf.nn.softmax(tf.random.normal([1, len(ops)]))
    y = mixed(x, probabilities, training=True)
    kernels = list(mixed.kernels.values())
    kernels = {"sep_conv_5x5": kernels[:4], "atrous_conv_3x3": kernels[4:]}
    expected = sum(
        probability * plain_op(op, x, kernels.get(op, []))
        for op, probability in zip(ops, probabilities[0])
    )
    assert relative_error(y, expected) < 1e-4


def test_edges_out_of_several_states():
    """Each as a layer of its own with its share of the packed kernels would."""
    ops, edges = ("sep_conv_3x3", "max_pool_3x3"), (2, 1)
    states = [tf.random.normal([2, 7, 6, FILTERS]) for _ in edges]
    probabilities = tf.nn.softmax(tf.random.normal([3, len(ops)]))
    mixed = MixedOp(ops, FILTERS, edges)
    outputs = mixed(states, probabilities, training=True)
    assert [y.shape[-1] for y in outputs] == [2 * FILTERS, FILTERS]
    first = 0
    for x, y, count in zip(states, outputs, edges):
        alone = MixedOp(ops, FILTERS, (count,))
        alone.build(x.shape)
        for name, kernel in alone.kernels.items():
            axis = 2 if name.endswith("_depthwise") else 3
            pieces = tf.split(mixed.kernels[name], 3, axis=axis)[first : first + count]
            kernel.assign(tf.concat(pieces, axis=axis))
        expected = alone(x, probabilities[first : first + count], training=True)
        assert relative_error(y, expected) < 1e-5
        first += count


def test_branches_share_kernels_but_not_statistics():
    branches = {"down": (0,), "stay": (0, 1)}
    mixed = MixedOp(("max_pool_3x3", "skip_connect"), FILTERS, edges=(2, 1), branches=branches)
    x = tf.random.normal([2, 7, 6, FILTERS])
    mixed(x, tf.ones([3, 2]), training=True)
    mean, variance = mixed.statistics["down"].numpy()
    assert mean.any() and (variance != 1).any()
    np.testing.assert_array_equal(mixed.statistics["stay"], [[0] * 4, [1] * 4])
    assert len(mixed.weights) == 2


@pytest.mark.parametrize("branches", [None, {"down": (0,), "stay": (0, 1)}])
def test_mixed_op_round_trips_through_its_config(branches):
    layer = MixedOp(
        ("skip_connect", "sep_conv_3x3"), 4, (3, 1), branches=branches, momentum=0.5, name="mixed"
    )
    config = json.loads(json.dumps(layer.get_config()))
    copy = MixedOp.from_config(config)
    assert copy.get_config() == layer.get_config()
    x, weights = tf.random.normal([1, 5, 6, 4]), tf.ones([4, 2])
    x = x if branches else [x, x]
    layer(x, weights), copy(x, weights)
    copy.set_weights(layer.get_weights())
    expected, outputs = tf.nest.flatten(layer(x, weights)), tf.nest.flatten(copy(x, weights))
    assert_close(outputs, expected, tolerance=0)
    assert outputs[0].shape == (1, 5, 6, 12)


def test_unknown_ops_are_refused():
    with pytest.raises(ValueError, match="unknown op 'sep_conv_9x9'; choose from .*sep_conv_5x5"):
        MixedOp(("none", "sep_conv_9x9"), 4)


def test_mixed_op_is_registered():
    layer = MixedOp(("skip_connect",), 4)
    copy = tf.keras.layers.deserialize(tf.keras.layers.serialize(layer))
    assert isinstance(copy, MixedOp) and copy.get_config() == layer.get_config()
