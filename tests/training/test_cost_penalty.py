"""The expected cost of a supernet: that of the genotype where all is decided, and its weight."""

import numpy as np
import pytest
import tensorflow as tf

from adl_tf.models.supernet import Supernet
from adl_tf.space.budget import Budget
from adl_tf.space.decoding import move_probabilities
from adl_tf.space.genotype import Genotype
from adl_tf.space.network_sizes import NetworkSizes
from adl_tf.space.search_space import SearchSpace
from adl_tf.training.cost_penalty import CostPenalty, CostSchedule

SPACE = SearchSpace(
    num_layers=5,
    num_blocks=1,
    filter_multiplier=2,
    ops=("none", "sep_conv_3x3", "atrous_conv_5x5", "max_pool_3x3"),
)
# With one block, both edges are kept; with a stem like the cells, the inputs cost as counted.
SIZES = NetworkSizes((4, 3, 3), aspp=8, low_level=4, decoder=8)


def budget(**wanted):
    return Budget((64, 64), 3, 3, sizes=SIZES, part="cells", **wanted)


def probabilities(genotype):
    ops = np.zeros(SPACE.alpha_shape, np.float32)
    for source, op in genotype.cell[0]:
        ops[source, SPACE.ops.index(op)] = 1
    beta = np.zeros(SPACE.beta_shape)
    for layer, (level, target) in enumerate(zip(genotype.path, genotype.path[1:])):
        beta[layer, level, target - level + 1] = 1e4
    return ops, move_probabilities(SPACE, beta).astype(np.float32)


@pytest.mark.parametrize("wanted", [{"multi_adds": 0.01}, {"parameters": 0.01}])
@pytest.mark.parametrize("path", [(0, 0, 0, 0, 0), (0, 0, 0, 1, 1)])
def test_expected_cost_of_what_is_decided(wanted, path):
    """Where levels change, the older input is of another level than assumed: near is enough."""
    limit = budget(**wanted)
    penalty = CostPenalty(SPACE, limit, 1.0)
    for ops in (("sep_conv_3x3", "atrous_conv_5x5"), ("max_pool_3x3", "sep_conv_3x3")):
        genotype = Genotype(path, [list(enumerate(ops))])
        expected = float(penalty.expected(*map(tf.constant, probabilities(genotype))))
        counted = limit.cost(genotype) / limit.wanted
        assert expected == pytest.approx(counted, rel=1e-5 if len(set(path)) == 1 else 0.1)


def test_alpha_and_beta_follow_the_cost():
    supernet = Supernet(SPACE, 3)
    supernet.build((None, 33, 33, 3))
    penalty = CostPenalty(SPACE, budget(multi_adds=0.01), 1.0)
    optimizer = tf.keras.optimizers.legacy.Adam(0.1)
    for _ in range(60):
        optimizer.minimize(lambda: penalty(supernet), supernet.architecture_variables)
    ops = supernet.op_probabilities().numpy()
    free = [SPACE.ops.index("none"), SPACE.ops.index("max_pool_3x3")]
    assert ops[:, free].sum(axis=1).min() > 0.9
    genotype, _ = supernet.decode()
    assert {op for _, op in genotype.cell[0]} == {"max_pool_3x3"}


def test_weight_doubles_above_the_budget_and_halves_below():
    genotype = Genotype((0,) * 5, [[(0, "sep_conv_3x3"), (1, "sep_conv_3x3")]])
    cost = budget(multi_adds=1.0).cost(genotype) / 1e9
    for factor, expected in ((0.5, 2.0), (1.0, 1.0), (2.0, 0.5)):
        penalty = CostPenalty(SPACE, budget(multi_adds=factor * cost), 1.0)
        penalty.adapt(genotype)
        assert float(penalty.weight) == expected

    supernet = Supernet(SPACE, 3)
    supernet.build((None, 33, 33, 3))
    optimizer = tf.keras.optimizers.legacy.Adam(0.1)
    penalty = CostPenalty(SPACE, budget(multi_adds=1e-6), 1.0)
    logs = {}
    CostSchedule(supernet, optimizer, penalty).on_epoch_end(0, logs)
    assert float(penalty.weight) == 1 and not logs  # No step of the architecture yet.
    optimizer.iterations.assign(1)
    CostSchedule(supernet, optimizer, penalty).on_epoch_end(1, logs)
    assert float(penalty.weight) == logs["cost_weight"] == 2
