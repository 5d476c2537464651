"""Budgets, and the F that fills them."""

import dataclasses
import json

import gin
import numpy as np
import pytest
from made_up_latency import made_up

from adl_tf.configuration import configured_budget
from adl_tf.space.budget import Budget
from adl_tf.space.latency import Coefficients
from adl_tf.space.network_sizes import NetworkSizes
from adl_tf.space.sampling import sample_genotype
from adl_tf.space.search_space import SearchSpace

SIZES = NetworkSizes((4, 4, 6), aspp=8, low_level=4, decoder=8)
SPACE = SearchSpace(
    num_layers=4,
    num_blocks=2,
    ops=("none", "sep_conv_3x3", "atrous_conv_5x5", "skip_connect", "max_pool_3x3"),
)


def budget(**wanted):
    return Budget((65, 97), 5, 3, sizes=SIZES, **wanted)


def test_one_thing_is_limited():
    for given in (
        {},
        {"multi_adds": 1.0, "milliseconds": 5.0},
        {"multi_adds": 1.0, "part": "stem"},
    ):
        with pytest.raises(ValueError, match="give one of multi_adds, parameters, milliseconds"):
            budget(**given)


WANTED = [{"multi_adds": 0.02}, {"parameters": 0.05}, {"milliseconds": 9.0}]


@pytest.mark.parametrize("part", ["total", "cells"])
@pytest.mark.parametrize("wanted", WANTED, ids=lambda wanted: next(iter(wanted)))
def test_filling_comes_nearest(wanted, part):
    """Nearer than any other F, tried one by one; stem and head are in proportion."""
    random = np.random.default_rng(1)
    limit = budget(part=part, latency=made_up(coefficients=Coefficients(constant=0.2)), **wanted)
    for _ in range(5):
        genotype = sample_genotype(SPACE, random)
        filters, sizes = limit.fill(genotype)
        distances = [
            abs(limit.with_filters(count).cost(genotype) - limit.wanted) for count in range(1, 80)
        ]
        assert filters == 1 + int(np.argmin(distances)) < 80
        assert sizes == SIZES.scaled(filters / 3)
        filled = dataclasses.replace(limit, filter_multiplier=filters, sizes=sizes)
        assert abs(filled.cost(genotype) - limit.wanted) == min(distances)


def test_filling_keeps_an_f_that_fits():
    genotype = sample_genotype(SPACE, np.random.default_rng(0))
    limit = budget(multi_adds=1.0)
    limit = dataclasses.replace(limit, multi_adds=limit.cost(genotype) / 1e9)
    assert limit.fill(genotype) == (3, SIZES)


def test_budgets_that_no_f_fills():
    genotype = sample_genotype(SPACE, np.random.default_rng(0))
    with pytest.raises(ValueError, match="Budget.multi_adds: with F = 1 a network costs"):
        budget(multi_adds=1e-6).fill(genotype)


def test_sizes_in_proportion():
    scaled = NetworkSizes((16, 16, 32), 64, 24, 60, separable_head=True).scaled(0.4)
    assert scaled == NetworkSizes((6, 6, 13), 26, 10, 24, separable_head=True)
    assert SIZES.scaled(0.01) == NetworkSizes((1, 1, 1), 1, 1, 1)


def test_what_is_kept_of_a_budget():
    """JSON, and no table of latencies."""
    limit = budget(milliseconds=5.0, latency=made_up())
    fields = json.loads(json.dumps(limit.to_dict()))
    assert fields["milliseconds"] == 5.0 and "latency" not in fields
    assert limit == dataclasses.replace(limit, latency=None)


def test_bound_by_gin():
    with gin.unlock_config():
        gin.parse_config(
            ["Budget.image_size = (65, 97)", "Budget.filter_multiplier = 3"]
            + ["Budget.milliseconds = 12.5"]
        )
    limit = configured_budget(num_classes=5)
    assert (limit.kind, limit.wanted) == ("milliseconds", 12.5)
    with gin.unlock_config():
        gin.parse_config("Budget.milliseconds = -1.0")
    with pytest.raises(ValueError, match="Budget.milliseconds = -1.0"):
        configured_budget(num_classes=5)
    gin.clear_config()
