"""The rest of a run, from wherever it resumes."""

import itertools

import pytest

from adl_tf.runs.phases import Phase, plan_phases


@pytest.mark.parametrize(
    "done, expected",
    [
        ((0, 0), [(0, 20, 100, False), (20, 40, 100, True)]),
        ((3, 0), [(3, 20, 100, False), (20, 40, 100, True)]),
        ((3, 10), [(3, 4, 90, False), (4, 20, 100, False), (20, 40, 100, True)]),
        ((19, 99), [(19, 20, 1, False), (20, 40, 100, True)]),
        ((20, 0), [(20, 40, 100, True)]),
        ((25, 1), [(25, 26, 99, True), (26, 40, 100, True)]),
        ((39, 50), [(39, 40, 50, True)]),
        ((40, 0), []),
    ],
)
def test_what_is_left_of_a_search(done, expected):
    assert plan_phases(4000, 100, *done, alternating_from=20) == expected


@pytest.mark.parametrize("start", [40, 50])
def test_a_search_that_never_alternates(start):
    assert plan_phases(4000, 100, alternating_from=start) == [(0, 40, 100, False)]


def test_a_search_that_alternates_from_the_start():
    assert plan_phases(4000, 100, alternating_from=0) == [(0, 40, 100, True)]


@pytest.mark.parametrize(
    "done, expected",
    [
        ((0, 0), [(0, 3, 30), (3, 4, 10)]),
        ((1, 7), [(1, 2, 23), (2, 3, 30), (3, 4, 10)]),
        ((2, 29), [(2, 3, 1), (3, 4, 10)]),
        ((2, 20), [(2, 4, 10)]),  # What is left of the third is as long as the fourth.
        ((3, 0), [(3, 4, 10)]),
        ((3, 4), [(3, 4, 6)]),
        ((3, 10), [(3, 4, 0)]),  # Its validation is left.
        ((4, 0), []),
    ],
)
def test_what_is_left_of_a_training(done, expected):
    assert plan_phases(100, 30, *done) == [(*phase, False) for phase in expected]


@pytest.mark.parametrize(
    "total_steps, epoch, step, expected",
    [
        (40, 1, 10, [(1, 2, 0)]),
        (40, 1, 25, [(1, 2, 0)]),  # More steps are done than there are now.
        (40, 5, 3, [(5, 6, 0)]),
        (40, 5, 0, []),
        (1, 0, 0, [(0, 1, 1)]),
        (30, 0, 0, [(0, 1, 30)]),
    ],
)
def test_runs_that_were_shortened_and_short_ones(total_steps, epoch, step, expected):
    assert plan_phases(total_steps, 30, epoch, step) == [Phase(*phase) for phase in expected]


def epochs_of(phases):
    """(epoch, steps, alternating) of each epoch of the phases."""
    return [
        (epoch, phase.steps, phase.alternating)
        for phase in phases
        for epoch in range(phase.first_epoch, phase.end_epoch)
    ]


@pytest.mark.parametrize("total_steps, per_epoch", [(1, 1), (7, 7), (7, 3), (12, 4), (5, 1)])
@pytest.mark.parametrize("alternating_from", [None, 0, 1, 2, 99])
def test_every_step_is_planned_exactly_once_from_anywhere(total_steps, per_epoch, alternating_from):
    whole = epochs_of(plan_phases(total_steps, per_epoch, alternating_from=alternating_from))
    planned = [(epoch, step) for epoch, steps, _ in whole for step in range(steps)]
    assert planned == [divmod(step, per_epoch) for step in range(total_steps)]
    for epoch, steps, alternates in whole:
        assert alternates == (alternating_from is not None and epoch >= alternating_from)
        for done in range(steps + 1):
            left = plan_phases(total_steps, per_epoch, epoch, done, alternating_from)
            assert epochs_of(left) == [
                (epoch, steps - done, alternates),
                *(later for later in whole if later[0] > epoch),
            ]
    assert plan_phases(total_steps, per_epoch, len(whole), 0, alternating_from) == []


@pytest.mark.parametrize("done", itertools.product(range(6), range(5)))
def test_phases_are_in_order_and_as_few_as_can_be(done):
    phases = plan_phases(17, 4, *done, alternating_from=2)
    for phase, following in zip(phases, phases[1:]):
        assert phase.end_epoch == following.first_epoch
        assert phase[2:] != following[2:]
    assert all(phase.first_epoch < phase.end_epoch for phase in phases)
    assert all(phase.steps for phase in phases[1:])
