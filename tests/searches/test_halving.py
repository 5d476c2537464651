"""Successive halving: which candidates survive, and how much is trained."""

import math

from adl_tf.searches.halving import lowest, rounds, surviving, survivors


def test_the_best_share_goes_on():
    losses = {0: 0.5, 1: 0.2, 4: 0.9, 7: 0.3}
    assert survivors(losses, 0.5) == [1, 7]
    assert survivors(losses, 0.51) == [0, 1, 7]  # Rounded up.
    assert survivors(losses, 0.01) == [1]  # At least one.
    assert survivors(losses, 1.0) == [0, 1, 4, 7]


def test_what_diverged_never_goes_on():
    assert survivors({0: math.inf, 1: 2.0, 2: math.nan}, 1.0) == [1]


def test_trainings_are_counted():
    assert rounds(12, 3, 0.33) == [12, 4, 2]
    assert rounds(7, 1, 0.33) == [7]
    assert rounds(5, 3, 1.0) == [5, 5, 5]
    assert rounds(1, 3, 0.1) == [1, 1, 1]
    # One that is left alone of several has won.
    assert rounds(8, 3, 0.33) == [8, 3]
    assert rounds(8, 3, 0.1) == [8]


def test_the_lowest_so_far_are_among_those_that_can_survive():
    losses = {0: 2.0, 1: 1.0, 2: math.inf, 3: 1.5, 4: 0.5}
    places = surviving(len(losses), 0.4)
    assert places == 2
    kept, so_far = set(), {}
    for key, loss in losses.items():
        so_far[key] = loss
        kept = (kept | {key}) & set(lowest(so_far, places))
        assert len(kept) <= places
    assert sorted(kept) == survivors(losses, 0.4) == [1, 4]
    assert lowest(losses, 0) == []
