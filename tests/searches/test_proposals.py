"""Proposals of a search: what is drawn."""

import collections

import numpy as np
import pytest

from adl_tf.searches.proposals import draw_random, make_candidates, propose
from adl_tf.space.decoding import decode
from adl_tf.space.evidence import shrunk
from adl_tf.space.network_sizes import NetworkSizes
from adl_tf.space.relaxed import RelaxedArchitecture
from adl_tf.space.sampling import draw_genotype
from adl_tf.space.search_space import SearchSpace

OPS = ("none", "skip_connect", "max_pool_3x3", "sep_conv_3x3")
SPACE = SearchSpace(num_layers=3, num_blocks=2, num_levels=3, ops=OPS)


def random_relaxed(seed=0):
    random = np.random.default_rng(seed)
    return RelaxedArchitecture(
        SPACE, random.normal(size=SPACE.alpha_shape), random.normal(size=SPACE.beta_shape)
    )


def test_draws_follow_the_softmaxes():
    relaxed = random_relaxed()
    random = np.random.default_rng(1)
    drawn = [draw_genotype(relaxed, random) for _ in range(4000)]
    moves = relaxed.move_probabilities
    first = collections.Counter(genotype.path[1] for genotype in drawn)
    assert first[1] / len(drawn) == pytest.approx(moves[0, 0, 2], abs=0.03)
    second = [genotype.path[2] for genotype in drawn if genotype.path[1] == 1]
    assert np.mean(np.array(second) == 2) == pytest.approx(moves[1, 1, 2], abs=0.04)
    # Both edges of the first block are always there; their ops follow alpha, none left out.
    row = SPACE.edges.index((0, 0))
    expected = relaxed.op_probabilities[row, 1:] / relaxed.op_probabilities[row, 1:].sum()
    ops = collections.Counter(dict(genotype.cell[0])[0] for genotype in drawn)
    for op, probability in zip(OPS[1:], expected):
        assert ops[op] / len(drawn) == pytest.approx(probability, abs=0.03)


def test_an_edge_that_is_probably_none_is_seldom_read():
    alpha = np.zeros(SPACE.alpha_shape)
    alpha[SPACE.edges.index((2, 1)), 0] = 8.0
    relaxed = RelaxedArchitecture(SPACE, alpha)
    random = np.random.default_rng(1)
    drawn = [draw_genotype(relaxed, random) for _ in range(300)]
    assert sum(2 in dict(genotype.cell[1]) for genotype in drawn) < 10


def test_the_decoded_network_comes_first_and_nothing_twice():
    relaxed = random_relaxed()
    proposed = propose(relaxed, 0.3, 12, seed=3)
    expected = RelaxedArchitecture(SPACE, shrunk(relaxed.alpha, 0.3), relaxed.beta)
    assert proposed[0] == decode(expected)[0]
    assert len(set(proposed)) == 12
    assert proposed == propose(relaxed, 0.3, 12, seed=3)
    assert proposed[1:] != propose(relaxed, 0.3, 12, seed=4)[1:]
    assert len(set(draw_random(SPACE, 12, seed=3))) == 12


def test_noise_proposes_what_random_draws_do():
    """No op leads where alpha is what a walk on noise leaves."""
    space = SearchSpace(num_layers=8, num_blocks=3)
    counts = collections.Counter()
    for seed in range(40):
        alpha = 0.3 * np.random.default_rng(seed).normal(size=space.alpha_shape)
        for genotype in propose(RelaxedArchitecture(space, alpha), 0.3, 6, seed)[1:]:
            counts.update(op for block in genotype.cell for _, op in block)
    shares = np.array([counts[op] for op in space.ops if op != "none"]) / sum(counts.values())
    np.testing.assert_allclose(shares, 1 / 7, atol=0.06)


def test_an_op_that_leads_on_all_edges_is_proposed():
    """Its lead is plain in the mean over edges, where noise hides it on many of them."""
    space = SearchSpace(num_layers=8, num_blocks=3)
    leader = space.ops.index("sep_conv_5x5")
    random = np.random.default_rng(0)
    alpha = 0.3 * random.normal(size=space.alpha_shape)
    alpha[:, leader] += 0.6
    relaxed = RelaxedArchitecture(space, alpha)
    proposed = propose(relaxed, 0.3, 8, seed=0)
    drawn = [draw_genotype(relaxed, random) for _ in range(8)]

    def share(genotypes):
        ops = [op for genotype in genotypes for block in genotype.cell for _, op in block]
        return ops.count("sep_conv_5x5") / len(ops)

    assert share(proposed) > 0.7 > 0.4 > share(drawn)


def test_a_space_of_one_genotype_is_drawn_all_the_same():
    space = SearchSpace(num_layers=1, num_blocks=1, num_levels=1, ops=("skip_connect",))
    assert len(propose(RelaxedArchitecture(space), 0.3, 3, seed=0)) == 3


def test_without_a_budget_networks_have_the_f_of_the_space():
    genotypes, sizes = draw_random(SPACE, 2, seed=0), NetworkSizes(aspp=8)
    for candidate in make_candidates("random", genotypes, SPACE, sizes, None):
        assert (candidate.filter_multiplier, candidate.sizes) == (8, sizes)
