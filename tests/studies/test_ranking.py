"""Ranking measures, by hand and by brute force."""

import itertools

import numpy as np
import pytest

from adl_tf.studies.ranking import (
    kendall_tau,
    regret,
    summarize_ranking,
    tau_interval,
    top_precision,
)


def brute_force_tau(a, b):
    """tau-b out of all pairs."""
    pairs = list(itertools.combinations(range(len(a)), 2))
    signs = [(np.sign(a[i] - a[j]), np.sign(b[i] - b[j])) for i, j in pairs]
    untied = [sum(sign[k] != 0 for sign in signs) for k in (0, 1)]
    return sum(x * y for x, y in signs) / np.sqrt(untied[0] * untied[1])


def test_tau_counts_pairs():
    random = np.random.default_rng(0)
    predicted, scores = random.integers(0, 6, 12), random.normal(size=12)
    assert kendall_tau(predicted, scores) == pytest.approx(brute_force_tau(predicted, scores))
    assert kendall_tau(scores, scores) == pytest.approx(1)
    assert kendall_tau(-scores, scores) == pytest.approx(-1)


def test_interval_holds_the_truth_and_shrinks():
    random = np.random.default_rng(3)
    widths = []
    for count in (20, 200):
        scores = random.normal(size=count)
        predicted = scores + random.normal(size=count)  # tau is 0.5 for equal variances.
        low, high = tau_interval(predicted, scores, draws=300)
        assert low < 0.5 < high
        widths.append(high - low)
    assert widths[1] < widths[0] / 2


def test_top_and_regret():
    scores = np.array([0.1, 0.5, 0.4, 0.3, 0.2, 0.0, 0.05, 0.06, 0.07, 0.08])
    assert top_precision(scores, scores) == 1 and regret(scores, scores) == 0
    predicted = scores.copy()
    predicted[1] = -1
    assert top_precision(predicted, scores) == 0.5
    assert regret(predicted, scores) == pytest.approx(0.1)
    assert summarize_ranking(predicted, scores)["regret"] == pytest.approx(0.1)
