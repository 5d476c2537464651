"""The packing of kernels and of alpha: where each op and edge is found."""

import numpy as np
import pytest
import tensorflow as tf
from reference import relative_error

from adl_tf.layers.convolution import BATCH_NORM_EPSILON
from adl_tf.layers.gated_cell import cell_packing
from adl_tf.layers.mixed_op import MixedOp, Packing, kernel_size, mixing_weights
from adl_tf.space.ops import OPS

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
    assert packing.plain == ("max_pool_3x3", "avg_pool_3x3", "skip_connect")
    assert [kernel_size(op) for op in packing.separable] == [3, 5]


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
    separable, atrous, kernel = mixing_weights(packing, tf.constant(probabilities))

    def expected(ops):
        rows = [(op, row) for source in [(0, 1, 2), (3,)] for op in ops for row in source]
        return [probabilities[row, OPS.index(op)] for op, row in rows for _ in range(FILTERS)]

    assert separable.numpy().tolist() == expected(packing.separable)
    assert atrous.numpy().tolist() == expected(packing.atrous)
    # The kernel spreads each plain op over the edges: channel c to channel c of every edge.
    assert kernel.shape == (1, 1, 3 * FILTERS, 4 * FILTERS)
    for i, op in enumerate(packing.plain):
        for edge in range(4):
            block = kernel[0, 0, i * FILTERS :, edge * FILTERS :][:FILTERS, :FILTERS]
            np.testing.assert_array_equal(block, probabilities[edge, OPS.index(op)] * np.eye(2))


def test_only_what_the_space_has():
    probabilities = tf.ones([1, 1])
    for ops, count in ((("sep_conv_3x3",), 1), (("skip_connect",), 1), (("none",), 0)):
        packing = Packing(ops, True, FILTERS, edges=(1,))
        assert len(mixing_weights(packing, probabilities)) == count
    assert Packing(("skip_connect",), True, FILTERS, edges=(1,)).weight_shapes() == {}


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

    if op == "none":
        return tf.zeros_like(x)
    if op == "skip_connect":
        return x
    if op == "max_pool_3x3":
        return norm(tf.nn.max_pool2d(x, 3, 1, "SAME"))
    if op == "avg_pool_3x3":
        return norm(tf.nn.avg_pool2d(x, 3, 1, "SAME"))
    if op.startswith("sep_conv"):
        return separable(separable(x, *kernels[:2]), *kernels[2:])
    if len(kernels) == 2:
        return separable(x, *kernels, rate=2)
    return norm(tf.nn.conv2d(tf.nn.relu(x), kernels[0], 1, "SAME", dilations=2))


@pytest.mark.parametrize("separable_atrous", [True, False])
@pytest.mark.parametrize("op", OPS)
def test_one_op_is_that_candidate_op(op, separable_atrous):
    x = tf.random.normal([2, 9, 8, 4])
    layer = MixedOp((op,), filters=4, separable_atrous=separable_atrous)
    y = layer(x, training=True)
    assert relative_error(y, plain_op(op, x, layer.kernels)) < 1e-4 or op == "none"
    assert op != "none" or not np.any(y)


def test_an_edge_is_the_sum_of_its_ops_by_probability():
    x = tf.random.normal([2, 7, 7, 4])
    ops = ("none", "max_pool_3x3", "skip_connect", "sep_conv_5x5", "atrous_conv_3x3")
    mixed = MixedOp(ops, filters=4, edges=1)
    probabilities = tf.nn.softmax(tf.random.normal([1, len(ops)]))
    y = mixed(x, probabilities, training=True)
    kernels = {"sep_conv_5x5": mixed.kernels[:4], "atrous_conv_3x3": mixed.kernels[4:]}
    expected = sum(
        probability * plain_op(op, x, kernels.get(op, []))
        for op, probability in zip(ops, probabilities[0])
    )
    assert relative_error(y, expected) < 1e-4


def test_mixed_op_round_trips_through_its_config():
    layer = MixedOp(("skip_connect", "sep_conv_3x3"), 4, edges=3, momentum=0.5, name="mixed")
    copy = MixedOp.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    x = tf.random.normal([1, 5, 6, 4])
    layer(x), copy(x)
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(layer(x), copy(x))
    assert copy(x).shape == (1, 5, 6, 12)
