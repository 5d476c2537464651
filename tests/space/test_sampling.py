"""Random genotypes are legal, repeatable and uniform."""

import itertools
from collections import Counter

import numpy as np
import pytest

from adl_tf.space.costs import network_cost
from adl_tf.space.ops import NONE
from adl_tf.space.relaxed import RelaxedArchitecture
from adl_tf.space.sampling import draw_path, sample_genotype, sample_within
from adl_tf.space.search_space import MOVE_OFFSETS, SearchSpace


def test_legal_and_repeatable():
    space = SearchSpace()
    for seed in range(30):
        genotype = sample_genotype(space, np.random.default_rng(seed))
        assert genotype == sample_genotype(space, np.random.default_rng(seed))
        space.check_path(genotype.path)
        assert len(genotype.cell) == space.num_blocks
        for block in genotype.cell:
            sources, ops = zip(*block)
            assert len(set(sources)) == 2
            assert NONE not in ops


def test_every_path_is_equally_likely():
    space = SearchSpace(num_layers=4, num_levels=3, num_blocks=1)
    random = np.random.default_rng(0)
    draws = 6000
    counts = Counter(sample_genotype(space, random).path for _ in range(draws))
    assert len(counts) == space.num_paths
    expected = draws / space.num_paths
    assert all(count == pytest.approx(expected, abs=5 * expected**0.5) for count in counts.values())


def test_paths_weigh_what_their_moves_do():
    """Each is as likely as the exponential of the sum of its logits, against a count of all."""
    space = SearchSpace(num_layers=4, num_levels=3, num_blocks=1)
    beta = np.random.default_rng(0).normal(size=space.beta_shape)
    beta -= beta.mean(axis=-1, keepdims=True)  # Of legal moves alone where a node has two.
    for level in (0, 2):
        legal = space.legal_moves()[level]
        beta[:, level] -= beta[:, level, legal].mean(axis=-1, keepdims=True)
    levels = itertools.product(range(3), repeat=3)
    paths = [(0, *p) for p in levels if all(abs(a - b) <= 1 for a, b in zip((0, *p), p))]
    weights = {
        path: np.exp(
            sum(
                beta[layer, a, MOVE_OFFSETS.index(b - a)]
                for layer, (a, b) in enumerate(zip(path, path[1:]))
            )
        )
        for path in paths
    }
    draws, random = 6000, np.random.default_rng(1)
    relaxed = RelaxedArchitecture(space, beta=beta)
    counts = Counter(draw_path(relaxed, random) for _ in range(draws))
    for path, weight in weights.items():
        expected = draws * weight / sum(weights.values())
        assert counts[path] == pytest.approx(expected, abs=5 * expected**0.5)


def test_ops_of_the_space_only():
    space = SearchSpace(num_layers=1, num_blocks=2, ops=("none", "skip_connect"))
    genotype = sample_genotype(space, np.random.default_rng(0))
    assert {op for block in genotype.cell for _, op in block} == {"skip_connect"}


def test_draws_that_cost_what_is_wanted():
    space = SearchSpace(num_layers=5, num_blocks=2)

    def cost(genotype):
        return network_cost(genotype, 4, 3, (64, 96)).cells.multi_adds

    random = np.random.default_rng(0)
    wanted = np.median([cost(sample_genotype(space, random)) for _ in range(50)])
    draws = sample_within(space, np.random.default_rng(1), cost, wanted, 0.03, 1000)
    found = [next(draws) for _ in range(10)]
    assert len(set(found)) == 10
    assert all(abs(cost(genotype) / wanted - 1) <= 0.03 for genotype in found)
    # They are the plain draws that fit, in their order.
    random = np.random.default_rng(1)
    plain = (sample_genotype(space, random) for _ in range(10**6))
    fitting = (genotype for genotype in plain if abs(cost(genotype) / wanted - 1) <= 0.03)
    assert found == [next(fitting) for _ in range(10)]
    with pytest.raises(ValueError, match=r"none of 3 genotypes is within 3% of 1; the nearest"):
        next(sample_within(space, random, cost, 1, 0.03, 3))
