"""Costs in plain numbers, next to the graph of the network built."""

import numpy as np
import pytest

from adl_tf.models.auto_deeplab import DecodedNetwork
from adl_tf.models.counting import count_multi_adds, count_parameters
from adl_tf.space.costs import network_cost
from adl_tf.space.sampling import sample_genotype
from adl_tf.space.search_space import SearchSpace


@pytest.mark.parametrize("seed", range(4))
def test_costs_are_those_of_the_graph(seed):
    random = np.random.default_rng(seed)
    space = SearchSpace(
        num_layers=int(random.integers(1, 9)), num_blocks=int(random.integers(1, 4))
    )
    genotype = sample_genotype(space, random)
    filters, classes = int(random.integers(1, 9)), int(random.integers(2, 30))
    size = tuple(int(side) for side in random.integers(20, 200, 2))
    cost = network_cost(genotype, filters, classes, size)
    network = DecodedNetwork(genotype, filters, classes)
    assert cost.total.parameters == count_parameters(network)
    assert cost.total.multi_adds == sum(count_multi_adds(network, size).values())
    assert cost.stem.multi_adds + cost.cells.multi_adds + cost.head.multi_adds == (
        cost.total.multi_adds
    )
