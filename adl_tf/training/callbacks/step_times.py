"""Durations of the steps of a training."""

import time
from typing import List

import numpy as np
import tensorflow as tf


class StepTimes(tf.keras.callbacks.Callback):
    """Notes the seconds of every step."""

    def __init__(self):
        super().__init__()
        self._seconds: List[float] = []
        self._began = 0.0

    @property
    def seconds_per_step(self) -> float:
        """The median, since the first steps build their graphs; nan before any."""
        return round(float(np.median(self._seconds or np.nan)), 4)

    def forget(self) -> None:
        """Starts again."""
        self._seconds.clear()

    def on_train_batch_begin(self, batch, logs=None):
        self._began = time.monotonic()

    def on_train_batch_end(self, batch, logs=None):
        self._seconds.append(time.monotonic() - self._began)
