"""The walk along a path, next to the network that is built from it."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from adl_tf.models.auto_deeplab import DecodedNetwork
from adl_tf.space import ops
from adl_tf.space.costs import network_cost, primitive_cost
from adl_tf.space.genotype import PRESETS, Genotype
from adl_tf.space.layout import Primitive, network_layout, op_primitives, plan_layers, size_at
from adl_tf.space.network_sizes import NetworkSizes
from adl_tf.space.sampling import sample_genotype
from adl_tf.space.search_space import SearchSpace

SIZES = NetworkSizes((4, 6, 8), aspp=10, low_level=5, decoder=7)


def test_layers_of_the_papers_network():
    """Each move, and what each layer reads."""
    plans = plan_layers(PRESETS["auto_deeplab"].path, 5, 20)
    assert [plan.stride for plan in plans] == [4, 4, 4, 8, 16, 8, 16, 16, 32, 32, 16, 8]
    moves = "stay stay stay down down up down stay down stay up up".split()
    assert [plan.move for plan in plans] == moves
    assert [plan.read_stride for plan in plans] == [4, 4, 4, 4, 8, 8, 8, 16, 16, 32, 16, 8]
    assert plans[0].inputs == ((4, 128), (2, 64))
    assert plans[1].inputs == ((4, 100), (4, 128))
    assert plans[-1].inputs == ((16, 400), (32, 800))
    assert all(plan.output == (plan.stride, 5 * plan.filters) for plan in plans)


def test_sizes_round_up_as_halving_does():
    size = (181, 243)
    for stride in (2, 4, 8, 16, 32):
        size = tuple(-(-side // 2) for side in size)
        assert size_at((181, 243), stride) == size


# What TensorFlow calls the kernels of the layout.
_TYPES = {
    "Conv2D": "convolution",
    "DepthwiseConv2dNative": "depthwise",
    "MaxPool": "max_pool",
    "AvgPool": "average_pool",
    "ResizeBilinear": "resize",
    "ConcatV2": "concatenation",
}


@pytest.mark.parametrize("seed", range(3))
def test_kernels_are_those_of_the_graph(seed):
    """All but elementwise ones and the labels, each with its sizes and channels."""
    random = np.random.default_rng(seed)
    space = SearchSpace(num_layers=int(random.integers(2, 6)), num_blocks=1 + seed)
    genotype = sample_genotype(space, random)
    size = tuple(int(side) for side in random.integers(40, 90, 2))
    sizes = dataclasses.replace(SIZES, separable_head=seed == 2)
    network = DecodedNetwork(genotype, 3, 5, sizes)
    function = tf.function(lambda images: network(images, training=False), autograph=False)
    graph = function.get_concrete_function(tf.TensorSpec([1, *size, 3])).graph
    built = []
    for operation in graph.get_operations():
        kind = _TYPES.get(operation.type)
        if kind:
            _, *output, filters = operation.outputs[0].shape
            # Atrous depthwise convolutions run in phases.
            output = None if "SpaceToBatch" in operation.inputs[0].op.type else tuple(output)
            channels = operation.inputs[0].shape[-1]
            built.append((kind, output, filters if kind == "concatenation" else channels, filters))
    planned = [
        (
            kernel.kind,
            None if kernel.kind == "depthwise" and kernel.rate > 1 else kernel.size,
            kernel.channels,
            kernel.filters,
        )
        for part in network_layout(genotype, 3, 5, size, sizes)
        for kernel in part
        if kernel.kind in _TYPES.values()
    ]
    assert sorted(planned, key=str) == sorted(built, key=str)


def test_a_kind_that_nothing_describes_is_refused(monkeypatch):
    """Rather than counted as free."""
    unknown = ops.Op("squeeze_3x3", "squeeze", 3, "squeeze", "#000000")
    monkeypatch.setitem(ops._BY_NAME, unknown.name, unknown)
    with pytest.raises(ValueError, match="op 'squeeze_3x3': nothing says what the kind 'squeeze'"):
        op_primitives("squeeze_3x3", 4, (8, 8))
    with pytest.raises(ValueError, match="kind 'attention' costs"):
        primitive_cost(Primitive("attention", (8, 8), 4, 4))


def test_an_op_none_costs_nothing():
    with_none = Genotype((0,), [[(0, "none"), (1, "none")]])
    with_skip = Genotype((0,), [[(0, "skip_connect"), (1, "skip_connect")]])
    costs = [network_cost(genotype, 3, 5, (40, 40)).total for genotype in (with_none, with_skip)]
    assert costs[0] == costs[1]
