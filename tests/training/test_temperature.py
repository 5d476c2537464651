"""The temperature of a search, from 1 to its end."""

import types

import pytest
import tensorflow as tf

from adl_tf.training.callbacks.temperature import TemperatureSchedule, annealed_temperature


def test_anneals_along_an_exponential():
    found = [annealed_temperature(0.01, progress) for progress in (0, 0.5, 1, 2)]
    assert found == pytest.approx([1, 0.1, 0.01, 0.01])
    assert annealed_temperature(1.0, 0.3) == 1


def test_follows_the_architecture_steps():
    supernet = types.SimpleNamespace(temperature=tf.Variable(1.0))
    optimizer = types.SimpleNamespace(iterations=tf.Variable(0))
    schedule = TemperatureSchedule(supernet, optimizer, total_steps=100, final=0.01)
    for step, wanted in ((0, 1.0), (50, 0.1), (100, 0.01)):
        optimizer.iterations.assign(step)
        schedule.on_train_batch_begin(0)
        assert float(supernet.temperature) == pytest.approx(wanted)


@pytest.mark.parametrize("final", [0, -1, 2])
def test_bad_end(final):
    with pytest.raises(ValueError, match=f"TemperatureSchedule.final = {final}: input should be"):
        TemperatureSchedule(None, None, 1, final=final)
