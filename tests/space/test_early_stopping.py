"""Early stopping: who goes on, and how much is trained."""

import numpy as np
import pytest

from adl_tf.space.early_stopping import expected_trainings, goes_on


def test_the_best_share_goes_on():
    assert goes_on(0.1, [], 0.5)  # The first one has nothing to compare with.
    assert goes_on(0.3, [0.1, 0.2], 0.5) and goes_on(0.2, [0.1, 0.3], 0.5)
    assert not goes_on(0.1, [0.2, 0.3], 0.5)
    random = np.random.default_rng(0).random(1000)
    went_on = [goes_on(value, random[:index], 0.33) for index, value in enumerate(random)]
    assert 0.25 < np.mean(went_on) < 0.4


def test_trainings_are_counted():
    assert expected_trainings(7, 1, 0.33) == 7  # Nothing to stop at.
    assert expected_trainings(7, 4, 1.0) == 7  # All go on.
    assert expected_trainings(1, 4, 0.1) == 1
    many = expected_trainings(300, 4, 0.33)
    assert many == pytest.approx(300 * (1 + 0.33 + 0.33**2 + 0.33**3) / 4, rel=0.1)
    assert 7.5 < expected_trainings(20, 4, 0.33) < 9.5
