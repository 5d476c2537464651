"""Comparison of the two arms of a search."""

import numpy as np
import pytest

from adl_tf.searches.comparison import compare
from adl_tf.searches.trials import Candidate, Trial
from adl_tf.space.genotype import Genotype
from adl_tf.space.network_sizes import NetworkSizes


def trials(searched, random):
    genotype = Genotype((0,), [[(0, "skip_connect"), (1, "skip_connect")]])
    return [
        Trial(Candidate(arm, genotype, 1, NetworkSizes()), (loss, 0.1), 0.0, 0.0)
        for arm, losses in (("searched", searched), ("random", random))
        for loss in losses
    ]


def test_the_arms_are_compared_by_their_ranks():
    """Of the 10 ways to mix 3 and 2 losses, one has all searched ones in front."""
    comparison = compare(trials([0.1, 0.2, 0.3], [0.4, 0.5]))
    assert comparison.p_value == pytest.approx(1 / 10)
    assert "no better than random ones" in comparison.sentence()
    comparison = compare(trials([0.1, 0.2, 0.3, 0.35], [0.4, 0.5, 0.6, 0.7]))
    assert comparison.p_value == pytest.approx(1 / 70)
    assert "are better than random ones" in comparison.sentence()
    assert comparison.numbers()["random"] == [0.4, 0.5, 0.6, 0.7]


def test_what_diverged_counts_as_the_worst():
    comparison = compare(trials([0.1, 0.2, 0.3, 0.35], [0.4, np.inf, np.inf, 0.7]))
    assert comparison.p_value < 0.05 and comparison.numbers()["random"][1] is None
