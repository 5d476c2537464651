"""How much of alpha is more than noise, where the truth is known."""

import numpy as np
import pytest

from adl_tf.space.evidence import draw, shrunk

EDGES, OPS, NOISE = 400, 8, 0.3


def centered(values):
    return values - values.mean(axis=1, keepdims=True)


def truth_and_alpha(means=0.5, deviations=0.4, seed=0):
    random = np.random.default_rng(seed)
    truth = means * random.normal(size=OPS) + deviations * random.normal(size=(EDGES, OPS))
    return centered(truth), truth + NOISE * random.normal(size=(EDGES, OPS))


def test_of_noise_nothing_is_left():
    _, alpha = truth_and_alpha(means=0.0, deviations=0.0)
    assert np.abs(shrunk(alpha, NOISE)).max() < 0.05 < 0.9 < np.abs(alpha).max()


def test_without_noise_alpha_is_left_as_it_is():
    truth, alpha = truth_and_alpha()
    np.testing.assert_allclose(shrunk(alpha, 0.0), centered(alpha), atol=1e-12)
    np.testing.assert_allclose(shrunk(np.zeros((5, 3)), NOISE), 0.0)


def test_deviations_are_shrunk_by_the_share_that_is_noise():
    truth, alpha = truth_and_alpha(deviations=0.3)
    found = shrunk(alpha, NOISE)
    kept = (found - found.mean(axis=0)) / (centered(alpha) - centered(alpha).mean(axis=0))
    np.testing.assert_allclose(kept, kept[0, 0], rtol=1e-6)
    assert kept[0, 0] == pytest.approx(0.5, abs=0.04)
    # Nearer to the truth than what it came from.
    assert np.mean((found - truth) ** 2) < 0.6 * np.mean((centered(alpha) - truth) ** 2)


def test_draws_lie_around_the_truth_as_they_say():
    """The truth is as far from the expected logits as draws are."""
    truth, alpha = truth_and_alpha()
    expected, random = shrunk(alpha, NOISE), np.random.default_rng(1)
    draws = np.array([draw(alpha, NOISE, random) - expected for _ in range(20)])
    assert np.std(draws) == pytest.approx(np.std(truth - expected), rel=0.1)


def test_edges_are_taken_to_differ_by_what_ops_do():
    """Of edges that show no difference of their own, draws still differ."""
    _, alpha = truth_and_alpha(means=0.4, deviations=0.0)
    draws = draw(alpha, NOISE, np.random.default_rng(1))
    spread = shrunk(alpha, NOISE).mean(axis=0).std()
    expected = (spread**2 * NOISE**2 / (spread**2 + NOISE**2)) ** 0.5
    deviations = centered(draws) - centered(draws).mean(axis=0)
    assert deviations.std() == pytest.approx(expected, rel=0.4)
    assert len(set(draws.argmax(axis=1))) > 1
