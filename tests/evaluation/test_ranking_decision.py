"""Whether candidates can be told apart: where they differ, where they do not, and in between."""

import numpy as np
import pytest

from adl_tf.evaluation.ranking_decision import measure_ranking
from adl_tf.space.genotype import Genotype

POOLS = Genotype((0,), [[(0, "max_pool_3x3"), (1, "skip_connect")]])
CONVOLUTIONS = Genotype((0,), [[(0, "sep_conv_3x3"), (1, "max_pool_3x3")]])


def losses(spread, noise, candidates=60, batches=12, seed=0):
    """Losses of candidates that differ by a spread, on batches that differ and are noisy."""
    random = np.random.default_rng(seed)
    of_candidates = spread * random.normal(size=(candidates, 1))
    of_batches = 0.3 * random.normal(size=(1, batches))
    return 1 + of_candidates + of_batches + noise * random.normal(size=(candidates, batches))


def test_candidates_that_differ():
    values = losses(0.1, 0.001)
    decision = measure_ranking(values, 60, CONVOLUTIONS)
    assert decision.candidates == 60
    assert decision.random_loss == pytest.approx(np.median(values.mean(axis=1)))
    assert decision.half_tau > 0.95 and decision.is_decided
    assert decision.random_deviation == pytest.approx(0.1, rel=0.3)
    best = values.mean(axis=1)
    expected = (np.median(best) - best.min()) / decision.random_deviation
    assert decision.gain == pytest.approx(expected, rel=0.05)
    assert decision.weightless_ops == 0.5 and decision.warning() == ""


def test_the_best_of_equal_candidates_is_not_decided():
    """Some candidate is always the best; on the other half of the batches it is like the rest."""
    decisions = [measure_ranking(losses(0, 0.1, seed=s), 60, CONVOLUTIONS) for s in range(20)]
    assert abs(np.mean([d.gain for d in decisions])) < 0.4
    assert abs(np.mean([d.half_tau for d in decisions])) < 0.1
    assert sum(d.is_decided for d in decisions) <= 1
    assert "hardly be told apart" in decisions[0].warning()


def test_cells_without_parameters_are_warned_of():
    decision = measure_ranking(losses(0.1, 0.001), 60, POOLS)
    assert decision.weightless_ops == 1 and "no parameters" in decision.warning()


def test_random_ones_are_what_the_best_is_compared_with():
    values = losses(0.1, 0.001)
    values[30:] -= 1  # Mutants of the best.
    decision = measure_ranking(values, 30, CONVOLUTIONS)
    assert decision.random_loss == pytest.approx(np.median(values[:30].mean(axis=1)))
    assert decision.gain > 9


def test_genotypes_that_shared_weights_cannot_compute_do_not_hide_the_others():
    values = losses(0.1, 0.001)
    calm = measure_ranking(values, 60, CONVOLUTIONS)
    values[:6] += 5
    wild = measure_ranking(values, 60, CONVOLUTIONS)
    assert wild.is_decided and wild.random_loss == pytest.approx(calm.random_loss, abs=0.05)
    assert wild.random_deviation < 1.5 * calm.random_deviation
