"""Random genotypes by the cost of their networks, and what a profile counts."""

import numpy as np
import pytest

from adl_tf.models.auto_deeplab import DecodedNetwork
from adl_tf.models.budget import sample_within
from adl_tf.models.profiling import profile_network
from adl_tf.space.sampling import sample_genotype
from adl_tf.space.search_space import SearchSpace

SPACE = SearchSpace(num_layers=3, num_blocks=1)
SMALL = {"filter_multiplier": 2, "num_classes": 3, "image_size": (33, 49)}


def test_the_first_draw_within_the_budget_is_taken(capsys):
    random = np.random.default_rng(5)
    draws = [sample_genotype(SPACE, random) for _ in range(3)]
    costs = [profile_network(DecodedNetwork(g, 2, 3), (33, 49)).multi_adds for g in draws]
    assert sample_within(SPACE, seed=5, **SMALL) == (draws[0], costs[0])
    wanted = next(index for index in (2, 1) if costs[index] not in costs[:index])
    found = sample_within(SPACE, 5, multi_adds=costs[wanted], tolerance=0, attempts=3, **SMALL)
    assert found == (draws[wanted], costs[wanted])
    assert capsys.readouterr().err.count("billion Multi-Adds") == wanted + 1
    with pytest.raises(ValueError, match=f"none of 2 .* closest has {min(costs[:2]) / 1e9:.2f}:"):
        sample_within(SPACE, seed=5, multi_adds=1.0, attempts=2, **SMALL)


def test_a_profile_is_the_sum_of_its_layers():
    genotype = sample_genotype(SPACE, np.random.default_rng(0))
    profile = profile_network(DecodedNetwork(genotype, 2, 3), (33, 49))
    assert profile.parameters > 0
    rows = [line.split() for line in profile.table().splitlines()]
    assert sum(int(row[0].replace(",", "")) for row in rows) == profile.multi_adds
    assert sum(float(row[1].rstrip("%")) for row in rows) == pytest.approx(100, abs=0.5)
