"""The gated cell against the plain per-edge reference."""

import dataclasses
import json
from typing import Any, List, Optional

import numpy as np
import pytest
import tensorflow as tf
from reference import BatchNorm, assert_close, node, randomize_moving_statistics, relative_error

from adl_tf.layers.convolution import BATCH_NORM_MOMENTUM
from adl_tf.layers.gated_cell import GatedCell, cell_packing
from adl_tf.layers.mixed_op import mixing_weights
from adl_tf.layers.shared_function import GradientsFor
from adl_tf.space.ops import OPS
from adl_tf.space.search_space import SearchSpace

# Sizes of H^(l-1) of a node of 7x6: what halves to it, or what it halves to.
SIZE = (7, 6)
PREVIOUS_SIZES = {"down": (13, 12), "stay": SIZE, "up": (4, 3)}


def random(*shape, seed):
    return tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float32)


@dataclasses.dataclass
class Node:
    """A layer with what it is called with."""

    layer: GatedCell
    previous: List[tf.Tensor]
    before_previous: Optional[tf.Tensor]
    gates: List[tf.Tensor]
    alpha: tf.Tensor
    size: Any

    def fast(self, training, wanted=GradientsFor.ALL):
        layer = self.layer
        edges = SearchSpace(num_blocks=layer.num_blocks).edges
        # Rows of alpha are sorted by block, mixing weights want them by source state.
        order = sorted(range(len(edges)), key=lambda row: edges[row])
        permutation = tf.one_hot(order, len(edges))
        packing = cell_packing(layer.ops, layer.separable_atrous, layer.num_blocks, layer.filters)
        return layer(
            (self.previous, self.before_previous),
            gates=self.gates,
            mixing=mixing_weights(packing, permutation @ tf.nn.softmax(self.alpha)),
            size=self.size,
            training=training,
            wanted=wanted,
        )

    def plain(self, batch_norm):
        return node(
            self.layer,
            (self.previous, self.before_previous),
            self.gates,
            tf.nn.softmax(self.alpha),
            self.size,
            batch_norm,
        )

    @property
    def sources(self):
        """{name: tensor} of all that a gradient is taken of."""
        named = {f"previous {i}": x for i, x in enumerate(self.previous)}
        named.update({f"gate {i}": gate for i, gate in enumerate(self.gates)})
        if self.before_previous is not None:
            named["before_previous"] = self.before_previous
        named.update({variable.name: variable for variable in self.layer.trainable_variables})
        return {**named, "alpha": self.alpha}

    def run(self, function):
        """Output, and gradients of its product with a fixed random tensor, by name."""
        sources = self.sources
        with tf.GradientTape() as tape:
            tape.watch(list(sources.values()))
            y = function()
            loss = tf.reduce_sum(y * random(*y.shape, seed=99))
        return y, dict(zip(sources, tape.gradient(loss, list(sources.values()))))


def make_node(
    ops=OPS,
    separable_atrous=True,
    moves=("stay",),
    before_previous=True,
    num_blocks=2,
    filters=3,
    sizes=PREVIOUS_SIZES,
    batch=2,
    **options,
):
    tf.keras.utils.set_random_seed(0)
    layer = GatedCell(ops, num_blocks, filters, moves, separable_atrous, **options)
    result = Node(
        layer=layer,
        # The numbers of channels differ, as they do between strides.
        previous=[random(batch, *sizes[move], 4 + i, seed=i) for i, move in enumerate(moves)],
        before_previous=random(batch, *sizes["stay"], 5, seed=10) if before_previous else None,
        gates=[tf.constant(0.2 + 0.3 * i) for i in range(len(moves))],
        alpha=random(len(SearchSpace(num_blocks=num_blocks).edges), len(ops), seed=11),
        size=sizes["stay"],
    )
    result.fast(training=False)
    randomize_moving_statistics(layer)
    return result


def check(a_node, training):
    """Output and all gradients match the reference."""
    # The reference first: it changes no moving statistics.
    y, expected = a_node.run(lambda: a_node.plain(BatchNorm(training)))
    fast, gradients = a_node.run(lambda: a_node.fast(training))
    assert_close([fast, *gradients.values()], [y, *expected.values()], ["output", *gradients])


MODES = pytest.mark.parametrize("training", [True, False], ids=["training", "inference"])


@MODES
@pytest.mark.parametrize("separable_atrous", [True, False], ids=["separable", "full"])
def test_all_ops_and_moves(separable_atrous, training):
    check(make_node(OPS, separable_atrous, moves=("down", "stay", "up"), num_blocks=3), training)


@MODES
def test_without_h_of_the_layer_before_the_previous(training):
    check(make_node(moves=("down", "up"), before_previous=False, num_blocks=2), training)


def test_one_block():
    check(make_node(num_blocks=1, separable_atrous=False), training=True)


@MODES
@pytest.mark.parametrize(
    "ops, separable_atrous",
    [
        (("none", "sep_conv_3x3", "sep_conv_5x5"), True),
        (("none", "max_pool_3x3", "avg_pool_3x3", "skip_connect"), True),
        (("max_pool_3x3",), True),
        (("none", "skip_connect"), True),
        (("atrous_conv_5x5",), True),
        (("atrous_conv_3x3", "atrous_conv_5x5"), False),
        (("atrous_conv_3x3", "none"), False),
        (("sep_conv_5x5", "atrous_conv_3x3", "avg_pool_3x3"), True),
        # Another order, without none.
        (OPS[:0:-1], False),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else str(value),
)
def test_subsets_of_ops(ops, separable_atrous, training):
    check(make_node(ops, separable_atrous), training)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 3)])
def test_feature_maps_smaller_than_the_kernels(size):
    """What small images are at stride 32."""
    sizes = {"stay": size, "up": (1, 1), "down": (2 * size[0], 2 * size[1] - 1)}
    moves = ("down", "stay", "up")
    # Inference, and four images: two equal numbers have no direction to normalize.
    check(make_node(moves=moves, sizes=sizes, batch=4), training=False)
    check(make_node(moves=moves, sizes=sizes, batch=4, separable_atrous=False), training=False)


@pytest.mark.parametrize("separable_atrous", [True, False], ids=["separable", "full"])
def test_moving_statistics(separable_atrous):
    """Each moves by the same share of the way to the batch's mean and unbiased variance."""
    a_node = make_node(separable_atrous=separable_atrous, moves=("down", "stay"))
    before, after = BatchNorm(training=True), BatchNorm(training=False)
    a_node.plain(before)
    a_node.fast(training=True)
    a_node.plain(after)
    assert len(before.moving) == len(after.moving) > 50
    for old, batch, new in zip(before.moving, before.batch, after.moving):
        expected = BATCH_NORM_MOMENTUM * old + (1 - BATCH_NORM_MOMENTUM) * batch
        assert relative_error(new, expected) < 1e-5


def test_momentum():
    a_node = make_node(("max_pool_3x3", "none"), momentum=0.25)
    before, after = BatchNorm(training=True), BatchNorm(training=False)
    a_node.plain(before)
    a_node.fast(training=True)
    a_node.plain(after)
    for old, batch, new in zip(before.moving, before.batch, after.moving):
        assert relative_error(new, 0.25 * old + 0.75 * batch) < 1e-5


def test_inference_changes_no_variable():
    a_node = make_node()
    before = a_node.layer.get_weights()
    a_node.run(lambda: a_node.fast(training=False))
    assert_close(a_node.layer.get_weights(), before, tolerance=0)


def test_moving_statistics_start_at_zero_and_one():
    layer = make_node(moves=("down", "stay")).layer
    fresh = GatedCell.from_config(layer.get_config())
    fresh.build(([(2, 13, 12, 4), (2, 7, 6, 5)], (2, 7, 6, 5)))
    for variable in fresh.non_trainable_variables:
        np.testing.assert_array_equal(variable[0], np.zeros(variable.shape[1]))
        np.testing.assert_array_equal(variable[1], np.ones(variable.shape[1]))
    # For each of the two moves and for H^(l-2): of the preprocessing and of the cell.
    assert len(fresh.non_trainable_variables) == 6


@MODES
def test_wanted_gradients_are_those_of_all(training):
    """WEIGHTS and ARCHITECTURE leave gradients out; the others are the same."""
    a_node = make_node(moves=("down", "up"))
    weights = {variable.name for variable in a_node.layer.trainable_variables}
    architecture = {"alpha", "gate 0", "gate 1"}
    y, full = a_node.run(lambda: a_node.fast(training, GradientsFor.ALL))
    inputs = set(full) - weights - architecture
    for wanted, names in (
        (GradientsFor.WEIGHTS, weights | inputs),
        (GradientsFor.ARCHITECTURE, architecture | inputs),
    ):
        again, gradients = a_node.run(lambda wanted=wanted: a_node.fast(training, wanted))
        assert_close([again], [y], tolerance=1e-6)
        for name in names:
            assert relative_error(gradients[name], full[name]) < 1e-5, name
        # What is not wanted costs nothing.
        assert all(gradients[name] is None for name in set(full) - names - inputs)


def test_gates_scale_the_cells():
    """A node is linear in its gates; a gate of zero removes a branch (eq. 6)."""
    a_node = make_node(moves=("down", "stay", "up"), ops=("sep_conv_3x3", "skip_connect"))
    outputs = []
    for gates in np.eye(3):
        a_node.gates = list(tf.constant(gates, tf.float32))
        outputs.append(a_node.fast(training=False))
    a_node.gates = [tf.constant(g) for g in (0.5, 0.2, 0.3)]
    expected = 0.5 * outputs[0] + 0.2 * outputs[1] + 0.3 * outputs[2]
    assert_close([a_node.fast(training=False)], [expected], tolerance=1e-5)


def test_a_certain_none_removes_the_edge():
    """With none chosen on all edges of a block, the block is zero."""
    a_node = make_node(num_blocks=2)
    alpha = a_node.alpha.numpy()
    alpha[2:, OPS.index("none")] = 100.0
    a_node.alpha = tf.constant(alpha)
    first, second = tf.split(a_node.fast(training=True), 2, axis=-1)
    assert np.abs(first).max() > 0.1
    np.testing.assert_allclose(second, 0.0, atol=1e-20)


def test_output_in_a_graph_is_that_of_eager():
    a_node = make_node()
    eager = a_node.fast(training=False)
    graph = tf.function(lambda: a_node.fast(training=False))()
    assert_close([graph], [eager], tolerance=1e-6)


def test_shape_and_number_of_weights():
    """Weights counted op by op: a full 5x5 has 25 C^2 of them, a separable one 25 C + C^2."""
    filters, edges = 3, 9
    separable = 2 * ((9 + 25) * filters + 2 * filters**2)
    # The masked margin of the packed 3x3 kernels: variables that are never used.
    margin = (25 - 9) * filters
    for separable_atrous, atrous, margins in (
        (True, separable // 2, 3),
        (False, (9 + 25) * filters**2, 2),
    ):
        a_node = make_node(OPS, separable_atrous, moves=("down", "stay"), num_blocks=3)
        assert a_node.fast(training=False).shape == (2, *SIZE, 3 * filters)
        count = sum(int(tf.size(weight)) for weight in a_node.layer.mixed_op.kernels.values())
        assert count == edges * (separable + atrous + margins * margin)
        # Preprocessing: 3x3 down, 1x1 otherwise; the inputs have 4 and 5 channels.
        total = sum(int(tf.size(weight)) for weight in a_node.layer.trainable_variables)
        assert total - count == (9 * 4 + 5 + 5) * filters


@pytest.mark.parametrize("moves", [("down", "stay", "up"), ("stay",)])
def test_config_round_trip(moves):
    a_node = make_node(OPS[2:], False, moves=moves)
    layer = a_node.layer
    config = json.loads(json.dumps(layer.get_config()))
    copy = GatedCell.from_config(config)
    assert copy.get_config() == layer.get_config()
    expected = a_node.fast(training=False)
    a_node.layer = copy
    a_node.fast(training=False)
    copy.set_weights(layer.get_weights())
    assert_close([a_node.fast(training=False)], [expected], tolerance=0)


def test_gated_cell_is_registered():
    layer = GatedCell(OPS, 2, 3, moves=("down", "stay"))
    copy = tf.keras.layers.deserialize(tf.keras.layers.serialize(layer))
    assert isinstance(copy, GatedCell) and copy.get_config() == layer.get_config()


def test_momentum_is_in_the_config():
    layer = GatedCell(OPS, 2, 3, momentum=0.5)
    assert GatedCell.from_config(layer.get_config()).momentum == 0.5


@pytest.mark.parametrize("moves", [(), ("sideways",), ("stay", "left")])
def test_unknown_moves_are_refused(moves):
    with pytest.raises(ValueError, match="choose from .*up.*stay.*down"):
        GatedCell(OPS, 2, 3, moves=moves)
