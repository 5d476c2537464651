"""Decoding against brute force: every path, every pair of edges."""

import itertools

import numpy as np
import pytest

from adl_tf.space.decoding import best_path, best_paths, decode, strongest_cell
from adl_tf.space.ops import NONE, OPS
from adl_tf.space.relaxed import RelaxedArchitecture
from adl_tf.space.search_space import MOVE_OFFSETS, SearchSpace


def with_beta(space, beta):
    return RelaxedArchitecture(space, beta=beta)


def softmax(logits):
    exponentials = [np.exp(logit) for logit in logits]
    return [value / sum(exponentials) for value in exponentials]


def enumerate_paths(space, beta):
    """All paths with their probabilities, each node's softmax taken over its legal moves only."""
    result = {}
    for path in itertools.product(range(space.num_levels), repeat=space.num_layers):
        steps = [b - a for a, b in zip(path, path[1:])]
        if path[0] or any(abs(step) > 1 for step in steps):
            continue
        probability = 1.0
        for layer, step in enumerate(steps):
            level = path[layer]
            legal = [move for move in (-1, 0, 1) if 0 <= level + move < space.num_levels]
            chances = softmax([beta[layer, level, MOVE_OFFSETS.index(move)] for move in legal])
            probability *= chances[legal.index(step)]
        result[path] = probability
    return result


def brute_force_cell(space, alpha):
    """The best pair of edges into each block by trying all pairs."""
    probabilities = [softmax(row) for row in alpha]

    def best(row):
        """(strength, op) of the strongest op other than none."""
        return max((p, op) for p, op in zip(probabilities[row], space.ops) if op != NONE)

    cell = []
    for block in range(space.num_blocks):
        rows = [row for row, edge in enumerate(space.edges) if edge[1] == block]
        pairs = itertools.combinations(rows, 2)
        pair = max(pairs, key=lambda pair: sum(best(row)[0] for row in pair))
        cell.append({(space.edges[row][0], best(row)[1]) for row in pair})
    return cell


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_eq_7_holds_at_every_node(levels):
    space = SearchSpace(num_layers=5, num_levels=levels)
    beta = np.random.default_rng(levels).normal(scale=3, size=space.beta_shape)
    moves = with_beta(space, beta).move_probabilities
    assert moves.shape == space.beta_shape
    np.testing.assert_allclose(moves.sum(axis=-1), 1.0, rtol=1e-12)
    illegal = np.broadcast_to(~space.legal_moves(), moves.shape)
    assert (moves[illegal] == 0).all() and (moves[~illegal] > 0).all()


def test_uniform_beta_is_uniform_over_legal_moves():
    """No 2/3 at the boundary: two legal moves get a half each."""
    space = SearchSpace(num_layers=2)
    np.testing.assert_allclose(
        RelaxedArchitecture(space).move_probabilities[0],
        [[0, 1 / 2, 1 / 2], [1 / 3] * 3, [1 / 3] * 3, [1 / 2, 1 / 2, 0]],
    )


def test_logits_of_illegal_moves_have_no_influence():
    space = SearchSpace(num_layers=4)
    beta = np.random.default_rng(0).normal(size=space.beta_shape)
    changed = np.where(space.legal_moves(), beta, 100.0)
    np.testing.assert_array_equal(
        with_beta(space, beta).move_probabilities,
        with_beta(space, changed).move_probabilities,
    )
    assert best_path(with_beta(space, beta)) == best_path(with_beta(space, changed))


def test_softmaxes_survive_large_logits():
    space = SearchSpace(num_layers=3)
    beta = np.full(space.beta_shape, 1e4)
    beta[..., 1] = -1e4
    np.testing.assert_allclose(with_beta(space, beta).move_probabilities.sum(axis=-1), 1.0)
    path, probability = best_path(with_beta(space, beta))
    assert path == (0, 1, 0) and probability == pytest.approx(0.5)
    space = SearchSpace(num_blocks=1, ops=("skip_connect", "sep_conv_3x3"))
    ops = RelaxedArchitecture(space, alpha=[[1e4, -1e4]] * 2).op_probabilities
    np.testing.assert_allclose(ops, [[1.0, 0.0]] * 2)


def test_op_probabilities_are_a_softmax_per_edge():
    alpha = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
    ops = RelaxedArchitecture(SearchSpace(), alpha).op_probabilities
    np.testing.assert_allclose(ops, [softmax(row) for row in alpha], rtol=1e-5)


@pytest.mark.parametrize("layers, levels", [(1, 4), (4, 1), (5, 2), (6, 3), (6, 4)])
def test_viterbi_finds_the_best_of_all_paths(layers, levels):
    space = SearchSpace(num_layers=layers, num_levels=levels)
    rng = np.random.default_rng(layers * 10 + levels)
    for scale in (0.001, 1.0, 5.0):
        beta = rng.normal(scale=scale, size=space.beta_shape).astype(np.float32)
        paths = enumerate_paths(space, beta)
        assert len(paths) == space.num_paths
        assert sum(paths.values()) == pytest.approx(1.0)
        path, probability = best_path(with_beta(space, beta))
        assert path == max(paths, key=paths.get)
        assert probability == pytest.approx(paths[path])


def test_path_probability_of_every_path():
    space = SearchSpace(num_layers=4, num_levels=3)
    beta = np.random.default_rng(3).normal(size=space.beta_shape)
    for path, probability in enumerate_paths(space, beta).items():
        assert with_beta(space, beta).path_probability(path) == pytest.approx(probability)
    with pytest.raises(ValueError, match="illegal move"):
        with_beta(space, beta).path_probability((0, 2, 2, 2))


def test_ties_between_paths_go_to_the_finest():
    space = SearchSpace(num_layers=6, num_levels=2)
    assert best_path(RelaxedArchitecture(space))[0] == (0,) * 6


def test_paper_sized_network():
    """A beta made to favor a path of figure 3's length gives that path back."""
    space = SearchSpace()
    wanted = (0, 0, 0, 1, 2, 1, 2, 2, 3, 3, 2, 1)
    beta = np.random.default_rng(0).normal(scale=0.1, size=space.beta_shape)
    for layer, (here, there) in enumerate(zip(wanted, wanted[1:])):
        beta[layer, here, MOVE_OFFSETS.index(there - here)] += 5
    path, probability = best_path(with_beta(space, beta))
    assert path == wanted
    assert probability == pytest.approx(with_beta(space, beta).path_probability(wanted))


@pytest.mark.parametrize(
    "ops", [OPS, OPS[::-1], ("sep_conv_3x3", "skip_connect"), ("none", "max_pool_3x3")]
)
def test_cell_against_brute_force(ops):
    for seed in range(20):
        space = SearchSpace(num_blocks=1 + seed % 5, ops=ops)
        alpha = np.random.default_rng(seed).normal(size=space.alpha_shape)
        cell = strongest_cell(RelaxedArchitecture(space, alpha))
        assert [set(block) for block in cell] == brute_force_cell(space, alpha)
        for block in cell:
            # Two branches, from different inputs.
            assert len({source for source, _ in block}) == 2


def test_none_is_never_chosen_even_when_it_is_by_far_the_strongest():
    space = SearchSpace(num_blocks=3)
    alpha = np.random.default_rng(0).normal(size=space.alpha_shape)
    alpha[:, OPS.index(NONE)] += 30
    cell = strongest_cell(RelaxedArchitecture(space, alpha))
    assert all(op != NONE for block in cell for _, op in block)
    assert [set(block) for block in cell] == brute_force_cell(space, alpha)


def test_a_strong_none_weakens_its_edge():
    """Strength is the softmax over all ops, so a likely none leaves less for the others."""
    space = SearchSpace(num_blocks=2, ops=("none", "skip_connect", "sep_conv_3x3"))
    alpha = np.zeros(space.alpha_shape)
    alpha[:, 1] = [1, 1, 1, 2, 1]
    # Edge 3 (input 1 of block 1) has the largest logit of an op, and a larger none.
    alpha[3, 0] = 9
    assert {source for source, _ in strongest_cell(RelaxedArchitecture(space, alpha))[1]} == {0, 2}


def test_strongest_branch_comes_first():
    space = SearchSpace(num_blocks=1, ops=("skip_connect", "sep_conv_3x3"))
    assert strongest_cell(RelaxedArchitecture(space, [[0.0, 1.0], [3.0, 0.0]])) == (
        ((1, "skip_connect"), (0, "sep_conv_3x3")),
    )


def test_decode_is_both():
    space = SearchSpace(num_layers=5, num_blocks=2)
    rng = np.random.default_rng(1)
    relaxed = RelaxedArchitecture(
        space, rng.normal(size=space.alpha_shape), rng.normal(size=space.beta_shape)
    )
    genotype, probability = decode(relaxed)
    assert (genotype.path, probability) == best_path(relaxed)
    assert genotype.cell == strongest_cell(relaxed)


@pytest.mark.parametrize("layers, levels", [(1, 4), (4, 2), (5, 3)])
def test_best_paths_are_those_of_brute_force(layers, levels):
    space = SearchSpace(num_layers=layers, num_levels=levels)
    beta = np.random.default_rng(layers).normal(size=space.beta_shape)
    paths = enumerate_paths(space, beta)
    expected = sorted(paths, key=paths.get, reverse=True)[:7]
    found = best_paths(with_beta(space, beta), 7)
    assert [path for path, _ in found] == expected
    np.testing.assert_allclose([p for _, p in found], [paths[path] for path in expected])


def test_untrained_the_path_stays_at_stride_4():
    """Half of the moves there, a third of those elsewhere."""
    space = SearchSpace(num_layers=8)
    assert best_path(RelaxedArchitecture(space)) == ((0,) * 8, pytest.approx(0.5**7))


def test_visits_sum_the_probabilities_of_paths():
    space = SearchSpace(num_layers=4, num_levels=3)
    beta = np.random.default_rng(0).normal(size=space.beta_shape)
    visits = with_beta(space, beta).visits
    expected = np.zeros((4, 3))
    for path, probability in enumerate_paths(space, beta).items():
        expected[np.arange(4), path] += probability
    np.testing.assert_allclose(visits, expected)
    np.testing.assert_allclose(visits.sum(axis=1), 1)


def test_logits_of_another_shape_are_named():
    space = SearchSpace(num_layers=3, num_blocks=2)
    with pytest.raises(ValueError, match=r"beta has shape \[2, 3, 3\]; it must be \[2, 4, 3\]"):
        RelaxedArchitecture(space, beta=np.zeros((2, 3, 3)))
    with pytest.raises(ValueError, match="alpha has shape"):
        RelaxedArchitecture(space, np.zeros(space.alpha_shape)[1:])
