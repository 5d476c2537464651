"""Proposals of a search: what is drawn."""

import collections
import dataclasses
import itertools

import numpy as np
import pytest

from adl_tf.searches.proposals import (
    DRAWS,
    draw_random,
    make_candidates,
    propose,
    random_candidates,
    searched_candidates,
)
from adl_tf.space.budget import Budget
from adl_tf.space.decoding import decode
from adl_tf.space.evidence import shrunk
from adl_tf.space.network_sizes import NetworkSizes
from adl_tf.space.relaxed import RelaxedArchitecture
from adl_tf.space.search_space import SearchSpace

OPS = ("none", "skip_connect", "max_pool_3x3", "sep_conv_3x3")
SPACE = SearchSpace(num_layers=3, num_blocks=2, num_levels=3, ops=OPS)


def random_relaxed(seed=0):
    random = np.random.default_rng(seed)
    return RelaxedArchitecture(
        SPACE, random.normal(size=SPACE.alpha_shape), random.normal(size=SPACE.beta_shape)
    )


def all_paths(space):
    levels = itertools.product(range(space.num_levels), repeat=space.num_layers - 1)
    paths = [(0, *after) for after in levels]
    return [p for p in paths if all(abs(a - b) <= 1 for a, b in zip(p, p[1:]))]


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


def test_without_evidence_paths_are_those_of_random_networks():
    """Not the finer ones that a softmax by node prefers."""
    space = SearchSpace(num_layers=4, num_blocks=1, num_levels=3)
    paths = [g.path for g in propose(RelaxedArchitecture(space), 0.3, 300, seed=0)[1:]]
    ends = collections.Counter(path[-1] for path in paths)
    every = collections.Counter(path[-1] for path in all_paths(space))
    for level, count in every.items():
        assert ends[level] / len(paths) == pytest.approx(count / sum(every.values()), abs=0.1)


def test_an_op_that_leads_on_all_edges_is_proposed():
    """Its lead is plain in the mean over edges, where noise hides it on many of them."""
    space = SearchSpace(num_layers=8, num_blocks=3)
    leader = space.ops.index("sep_conv_5x5")
    random = np.random.default_rng(0)
    alpha = 0.3 * random.normal(size=space.alpha_shape)
    alpha[:, leader] += 0.6
    relaxed = RelaxedArchitecture(space, alpha)
    proposed = propose(relaxed, 0.3, 8, seed=0)
    ops = [op for genotype in proposed for block in genotype.cell for _, op in block]
    assert ops.count("sep_conv_5x5") / len(ops) > 0.6


def test_a_space_of_one_genotype_is_drawn_all_the_same():
    space = SearchSpace(num_layers=1, num_blocks=1, num_levels=1, ops=("skip_connect",))
    assert len(propose(RelaxedArchitecture(space), 0.3, 3, seed=0)) == 3


def test_without_a_budget_networks_have_the_f_of_the_space():
    genotypes, sizes = draw_random(SPACE, 2, seed=0), NetworkSizes(aspp=8)
    for candidate in make_candidates("random", genotypes, SPACE, sizes, None):
        assert (candidate.filter_multiplier, candidate.sizes) == (8, sizes)


def test_both_arms_take_the_widest_of_as_many_draws():
    space, sizes = SearchSpace(num_layers=4, num_blocks=2), NetworkSizes()
    budget = Budget((97, 97), 5, 8, multi_adds=0.2, sizes=sizes)
    relaxed = RelaxedArchitecture(space)
    everything = {
        "random": [budget.fill(g)[0] for g in draw_random(space, 6 * DRAWS, seed=3)],
        "searched": [budget.fill(g)[0] for g in propose(relaxed, 0.3, 6 * DRAWS, seed=3)],
    }
    first = everything["searched"].pop(0)  # What is decoded is taken in any case.
    random = random_candidates(space, 6, 3, sizes, budget)
    searched = searched_candidates(relaxed, 0.3, 6, 3, sizes, budget)
    widths = {arm: sorted(widths, reverse=True) for arm, widths in everything.items()}
    assert [each.filter_multiplier for each in random] == widths["random"][:6]
    assert [each.filter_multiplier for each in searched] == [first, *widths["searched"][:5]]
    assert len(set(random)) == len(set(searched)) == 6
    for each in (*random, *searched):
        assert each.sizes == budget.fill(each.genotype)[1]


def test_arms_of_a_small_space_have_each_network_of_it():
    space = SearchSpace(num_layers=2, num_blocks=1, num_levels=2, ops=("skip_connect",))
    every = set(draw_random(space, 50, seed=0))
    budget = Budget((97, 97), 5, 8, multi_adds=0.1)
    for count in (1, 3, 4, 6):
        arm = random_candidates(space, count, 0, NetworkSizes(), budget)
        assert len(arm) == count and len({each.genotype for each in arm}) == min(count, len(every))


def test_draws_that_do_not_fit_are_left_out():
    space, sizes = SearchSpace(num_layers=6, num_blocks=5), NetworkSizes()
    least = [
        Budget((97, 97), 5, 1, multi_adds=1.0, sizes=sizes).with_filters(1).cost(g) / 1e9
        for g in draw_random(space, 4 * DRAWS, seed=0)
    ]
    tight = Budget((97, 97), 5, 1, multi_adds=float(np.median(least)), tolerance=0.0, sizes=sizes)
    assert len(random_candidates(space, 4, 0, sizes, tight)) == 4
    tiny = dataclasses.replace(tight, multi_adds=0.5 * min(least))
    with pytest.raises(ValueError, match="with F = 1 a network costs"):
        random_candidates(space, 4, 0, sizes, tiny)


def test_without_a_budget_nothing_is_chosen_by_width():
    sizes = NetworkSizes(aspp=8)
    random = random_candidates(SPACE, 5, 3, sizes, None)
    assert [each.genotype for each in random] == draw_random(SPACE, 5, seed=3)
    relaxed = random_relaxed()
    searched = searched_candidates(relaxed, 0.3, 5, 3, sizes, None)
    assert [each.genotype for each in searched] == propose(relaxed, 0.3, 5, seed=3)
