"""Annealing of the softmaxes of alpha and beta."""

import tensorflow as tf

from adl_tf.models.supernet import Supernet
from adl_tf.settings import Number, SomeShare, configurable


def annealed_temperature(final: float, progress: float) -> float:
    """Temperature at a place in the run: from 1 along an exponential to `final`.

    Args:
      final: temperature at the end.
      progress: place in the architecture steps, 0 to 1.
    """
    return final ** min(1.0, progress)


@configurable
class TemperatureSchedule(tf.keras.callbacks.Callback):
    """Sets the temperature of a supernet before each step.

    As the temperature falls the softmaxes sharpen, so that what decoding keeps is what the supernet
    computed (ASAP, https://arxiv.org/abs/1904.04123, section 3.2; SNAS,
    https://arxiv.org/abs/1812.09926, section 2.3).

    Args:
      supernet: the network that is searched.
      optimizer: counts the architecture steps.
      total_steps: architecture steps of the run.
      final: temperature at its end; 1 anneals nothing (the paper).

    Raises:
      ValueError: `final` is not above 0 and at most 1.
    """

    def __init__(self, supernet: Supernet, optimizer, total_steps: Number, final: SomeShare = 1.0):
        super().__init__()
        self._supernet = supernet
        self._optimizer = optimizer
        self._total_steps = total_steps
        self._final = final

    def on_train_batch_begin(self, batch, logs=None):
        progress = int(self._optimizer.iterations.numpy()) / max(1, self._total_steps)
        self._supernet.temperature.assign(annealed_temperature(self._final, progress))
