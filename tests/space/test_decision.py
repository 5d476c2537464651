"""How much alpha and beta decide, from untrained to one-hot."""

import numpy as np
import pytest

from adl_tf.space.decision import measure_decision
from adl_tf.space.genotype import Genotype
from adl_tf.space.ops import OPS
from adl_tf.space.relaxed import RelaxedArchitecture
from adl_tf.space.search_space import SearchSpace

SPACE = SearchSpace(num_layers=6, num_blocks=2)


def one_hot_logits(path, op, strength=20.0):
    alpha, beta = np.zeros(SPACE.alpha_shape), np.zeros(SPACE.beta_shape)
    alpha[:, OPS.index(op)] = strength
    for layer in range(SPACE.num_layers - 1):
        beta[layer, :, 1] = strength  # Stay, where the path does not say otherwise.
        beta[layer, path[layer]] = 0
        beta[layer, path[layer], 1 + path[layer + 1] - path[layer]] = strength
    return alpha, beta


@pytest.mark.parametrize("scale", [0.0, 0.001])
def test_an_untrained_search_is_undecided(scale):
    random = np.random.default_rng(0)
    alpha = random.normal(scale=scale, size=SPACE.alpha_shape)
    beta = random.normal(scale=scale, size=SPACE.beta_shape)
    decision = measure_decision(RelaxedArchitecture(SPACE, alpha, beta))
    assert decision.path[:-1] == decision.untrained_path[:-1] == (0,) * 5
    assert decision.path_probability == pytest.approx(0.5**5, rel=0.01)
    assert decision.untrained_probability == pytest.approx(0.5**5)
    assert decision.runner_up_ratio == pytest.approx(1, rel=0.01)
    assert decision.alpha_entropy == pytest.approx(1, abs=1e-4)
    assert decision.beta_entropy == pytest.approx(1, abs=1e-4)
    assert not decision.path_is_decided and not decision.cell_is_decided
    assert "the path and the cell of this search are hardly decided" in decision.warning()


def test_a_decided_search():
    path = (0, 1, 2, 2, 1, 0)
    decision = measure_decision(RelaxedArchitecture(SPACE, *one_hot_logits(path, "sep_conv_3x3")))
    assert decision.path == path
    assert decision.path_probability == pytest.approx(1)
    assert decision.runner_up_ratio > 1e6
    assert decision.alpha_entropy < 1e-5 and decision.beta_entropy < 1e-5
    assert decision.weightless_ops == 0
    assert decision.path_is_decided and decision.cell_is_decided and not decision.warning()


def test_what_a_budget_decoded_is_what_is_measured():
    path = (0, 1, 2, 2, 1, 0)
    relaxed = RelaxedArchitecture(SPACE, *one_hot_logits(path, "sep_conv_3x3", strength=2.0))
    genotype = Genotype(
        (0,) * 6, ((((0, "skip_connect"), (1, "sep_conv_3x3")),) * SPACE.num_blocks)
    )
    decision = measure_decision(relaxed, genotype)
    assert decision.path == genotype.path and decision.weightless_ops == 0.5
    assert decision.path_probability == relaxed.path_probability(genotype.path)
    best = measure_decision(relaxed)
    assert best.path == path
    ratio = decision.path_probability / best.path_probability
    assert decision.runner_up_ratio == pytest.approx(ratio)


def test_path_and_cell_are_told_apart():
    path = (0, 1, 2, 2, 1, 0)
    alpha, beta = one_hot_logits(path, "max_pool_3x3")
    decision = measure_decision(RelaxedArchitecture(SPACE, beta=beta))
    assert "the cell of this search is hardly decided" in decision.warning()
    decision = measure_decision(RelaxedArchitecture(SPACE, alpha))
    assert "the path of this search is hardly decided" in decision.warning()
    assert decision.weightless_ops == 1


def test_what_was_decided_may_still_deserve_a_warning():
    path = (0, 1, 2, 2, 1, 0)
    alpha, beta = one_hot_logits(path, "max_pool_3x3")
    warning = measure_decision(RelaxedArchitecture(SPACE, alpha, beta)).warning()
    assert warning.startswith("warning: 100% of the cell's ops have no parameters.")
    # The last move, to the same stride or to another one, is a matter of chance.
    alpha, beta = one_hot_logits(path, "sep_conv_3x3")
    beta[4, 1] = 0
    decision = measure_decision(RelaxedArchitecture(SPACE, alpha, beta))
    assert decision.path_probability > 5 * decision.untrained_probability
    assert decision.runner_up_ratio == pytest.approx(1)
    assert "the path of this search is hardly decided" in decision.warning()


def test_entropy_counts_nodes_as_often_as_paths_pass_them():
    """Nodes that no path reaches stay uniform, and do not count."""
    path = (0,) * 6
    alpha, beta = one_hot_logits(path, "sep_conv_3x3")
    beta[:, 1:] = 0
    assert measure_decision(RelaxedArchitecture(SPACE, alpha, beta)).beta_entropy < 1e-5


def test_a_space_of_one_path_and_one_op():
    space = SearchSpace(num_layers=3, num_blocks=1, num_levels=1, ops=("sep_conv_3x3",))
    decision = measure_decision(RelaxedArchitecture(space))
    assert decision.path == (0, 0, 0) and decision.path_probability == 1
    assert decision.alpha_entropy == decision.beta_entropy == 0
    assert "runner_up_ratio" not in decision.numbers()
