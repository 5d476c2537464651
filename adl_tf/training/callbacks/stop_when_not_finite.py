"""Ends a run that diverged."""

import math

import tensorflow as tf


class StopWhenNotFinite(tf.keras.callbacks.Callback):
    """Ends a run as soon as a loss is not finite, before anything is saved.

    Must be the first callback.

    Args:
      model_dir: of the run, for the message.
      optimizer: of the weights; counts the steps.
      rates: the bindings to lower, for the message.
    """

    def __init__(self, model_dir: str, optimizer, rates: str):
        super().__init__()
        self._model_dir = model_dir
        self._optimizer = optimizer
        self._rates = rates

    def on_train_batch_end(self, batch, logs=None):
        # A search has a second loss while it alternates.
        losses = [logs[name] for name in ("loss", "arch_loss") if name in logs]
        if not all(map(math.isfinite, losses)):
            step = int(self._optimizer.iterations.numpy())
            raise ValueError(
                f"the loss is not finite at step {step}; the last good checkpoint is "
                f"kept in {self._model_dir}. Lower {self._rates}, or look for "
                "broken images; the same command resumes from that checkpoint."
            )
