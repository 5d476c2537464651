"""What genotypes share, counted by hand, and what chance gives."""

import dataclasses

import numpy as np
import pytest

from adl_tf.evaluation.agreement import agreement, chance_agreement
from adl_tf.space.budget import Budget
from adl_tf.space.genotype import Genotype
from adl_tf.space.search_space import RELATIVE, SearchSpace

A = Genotype(
    (0, 1, 2, 1),
    [[(0, "sep_conv_3x3"), (1, "skip_connect")], [(2, "sep_conv_5x5"), (0, "max_pool_3x3")]],
)
B = Genotype(
    (0, 1, 1, 1),
    [[(1, "skip_connect"), (0, "sep_conv_5x5")], [(2, "sep_conv_5x5"), (1, "max_pool_3x3")]],
)


def test_of_two():
    # Edges: block 1 shares input 2 of two. Ops: of the shared edges 0, 1 and 2 the last two agree.
    assert agreement([A, B]) == pytest.approx({"edges": 1 / 2, "ops": 2 / 3, "strides": 2 / 3})
    assert agreement([A, A]) == {"edges": 1, "ops": 1, "strides": 1}
    mean = {"edges": 2 / 3, "ops": 7 / 9, "strides": 7 / 9}
    assert agreement([A, A, B]) == pytest.approx(mean)


def test_what_cannot_differ_does_not_count():
    one = Genotype((0,), [[(0, "sep_conv_3x3"), (1, "skip_connect")]])
    found = agreement([one, one])
    assert np.isnan(found["edges"]) and np.isnan(found["strides"]) and found["ops"] == 1


def test_chance():
    space = SearchSpace(num_layers=6, num_blocks=2)
    chance = chance_agreement(space)
    # Untrained searches stay at stride 4 but for the last move, which is one of two.
    assert chance["strides"] == pytest.approx((4 + 0.5) / 5, abs=0.03)
    assert chance["ops"] == pytest.approx(1 / 7, abs=0.02)
    # Two inputs of three share 1.33 on average.
    assert chance["edges"] == pytest.approx(2 / 3, abs=0.03)
    # Scored relative to the untrained paths, they agree no more than random ones.
    free = chance_agreement(SearchSpace(num_layers=6, num_blocks=2, path_rule=RELATIVE))
    assert 0.25 < free["strides"] < 0.6


def test_chance_within_a_budget():
    space = SearchSpace(num_layers=4, num_blocks=2, path_rule=RELATIVE)
    # Too little for a cell of convolutions: pools and skip connections are most of what is left.
    budget = Budget((32, 32), 3, 4, multi_adds=1.1e-4, tolerance=0.2, part="cells")
    chance = chance_agreement(space, draws=30, budget=budget)
    assert chance["ops"] > 0.2 > chance_agreement(space, draws=30)["ops"]
    with pytest.raises(ValueError, match="within"):
        chance_agreement(space, draws=2, budget=dataclasses.replace(budget, multi_adds=100))
