"""Costs in plain numbers, next to the graph of the network built."""

import dataclasses

import numpy as np
import pytest

from adl_tf.models.auto_deeplab import DecodedNetwork
from adl_tf.models.counting import count_multi_adds, count_parameters
from adl_tf.space.costs import network_cost
from adl_tf.space.genotype import PRESETS, Genotype
from adl_tf.space.network_sizes import PAPER_SIZES, NetworkSizes
from adl_tf.space.sampling import sample_genotype
from adl_tf.space.search_space import SearchSpace

SMALL_SIZES = NetworkSizes((8, 12, 16), aspp=20, low_level=6, decoder=24)


def test_costs_are_those_of_the_graph(genotype_seed):
    """Of 6 genotypes; all 200: pytest tests/space/test_costs.py --genotypes=200."""
    random = np.random.default_rng(genotype_seed)
    layers, blocks = int(random.integers(1, 9)), int(random.integers(1, 4))
    genotype = sample_genotype(SearchSpace(num_layers=layers, num_blocks=blocks), random)
    filters, classes = int(random.integers(1, 9)), int(random.integers(2, 30))
    size = tuple(int(side) for side in random.integers(20, 200, 2))
    sizes = [PAPER_SIZES, SMALL_SIZES, dataclasses.replace(SMALL_SIZES, separable_head=True)][
        genotype_seed % 3
    ]
    cost = network_cost(genotype, filters, classes, size, sizes)
    network = DecodedNetwork(genotype, filters, classes, sizes)
    assert cost.total.parameters == count_parameters(network)
    counts = count_multi_adds(network, size)
    assert cost.total.multi_adds == sum(counts.values())
    parts = {"stem": 0, "cells": 0, "head": 0}
    for name, count in counts.items():
        part = "stem" if "/stem/" in name else "cells" if "/cell_" in name else "head"
        parts[part] += count
    assert cost.summary()["multi_adds_by_part"] == parts


def test_activations_are_what_the_convolutions_put_out():
    genotype = Genotype(path=(0, 1), cell=[[(0, "sep_conv_3x3"), (1, "skip_connect")]])
    # Stride 2: 8x8, stride 4: 4x4, stride 8: 2x2 pixels.
    cost = network_cost(genotype, 3, 2, (16, 16), SMALL_SIZES)
    assert cost.stem.activations == 64 * 8 + 64 * 12 + 16 * 16
    first = 16 * 3 * 2 + 16 * 3 * 4  # Two projections; twice depthwise and pointwise.
    second = 16 * 6 * 2 + 4 * 6 * 4 + 4 * 6  # Projected before, halved in the ops.
    assert cost.cells.activations == first + second
    aspp = 20 + 4 * 20 * 4 + 4 * 20
    assert cost.head.activations == aspp + 16 * (6 + 24 + 24 + 2)


def test_the_papers_networks():
    for filters, parameters in ((20, 10_147_427), (32, 21_622_451), (48, 44_424_691)):
        cost = network_cost(PRESETS["auto_deeplab"], filters, 19, (1025, 2049))
        assert cost.total.parameters == parameters


@pytest.mark.parametrize(
    "sizes, message",
    [
        ({"stem": 64}, "stem is 64; give the filters of its three convolutions"),
        ({"stem": (64, 64)}, r"stem is \(64, 64\); give"),
        ({"stem": (8, 0, 8)}, r"stem is \(8, 0, 8\); filters are integers, 1 or more"),
        ({"aspp": 0}, "aspp is 0; filters are"),
        ({"decoder": "64"}, "decoder is '64'; filters are"),
        ({"separable_head": 1}, "separable_head is 1; it must be True or False"),
    ],
)
def test_bad_sizes_are_named(sizes, message):
    with pytest.raises(ValueError, match=message):
        NetworkSizes(**sizes)
