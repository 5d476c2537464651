"""The best and worst of many, against sorting all of them."""

import random

import pytest

from adl_tf.evaluation.extremes import Extremes


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("total", [0, 1, 2, 5, 6, 7, 50])
def test_equals_sorting(count, total):
    scores = list(range(total))
    random.Random(total).shuffle(scores)
    extremes = Extremes(count)
    made = []
    for score in scores:
        extremes.add(score, lambda score=score: made.append(score) or score)
    ordered = sorted(scores)
    assert extremes.lowest == ordered[:count]
    rest = ordered[count:]
    assert extremes.highest == rest[::-1][:count]
    assert len(made) == len(set(made)) <= total


def test_only_what_is_kept_is_made():
    extremes = Extremes(1)
    for score in (0.1, 0.9):
        extremes.add(score, lambda: "kept")
    extremes.add(0.5, lambda: pytest.fail("made for nothing"))
    assert extremes.lowest == ["kept"] and extremes.highest == ["kept"]
