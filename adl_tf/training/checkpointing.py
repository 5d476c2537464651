"""Checkpoints with everything that a run resumes from, also written when a signal ends it."""

import signal
import threading

import tensorflow as tf
from absl import logging

from adl_tf.configuration import Interrupted


class Checkpointing(tf.keras.callbacks.Callback):
    """Checkpoints with everything that a run needs to resume bit for bit.

    Saves every `every_steps` steps, at the end of each epoch, and, as a context manager, when
    the run is interrupted (SIGINT, SIGTERM), which then ends with `Interrupted`. Outside the main
    thread, where Python sets no signal handlers, signals are left alone.

    Args:
      model_dir: directory of the checkpoints.
      steps_per_epoch: training steps in an epoch.
      every_steps: steps between checkpoints inside an epoch.
      **tracked: what a checkpoint holds besides the counters.

    Attributes:
      epoch: epochs finished.
      step: steps of the next epoch that are done.
    """

    def __init__(self, model_dir: str, steps_per_epoch: int, every_steps: int, **tracked):
        super().__init__()
        self._steps_per_epoch = steps_per_epoch
        self._every_steps = every_steps
        self._counters = {
            name: tf.Variable(0, dtype=tf.int64, trainable=False) for name in ("epoch", "step")
        }
        self._checkpoint = tf.train.Checkpoint(**tracked, **self._counters)
        self._manager = tf.train.CheckpointManager(self._checkpoint, model_dir, max_to_keep=2)
        self._stop = False
        self._handlers = {}

    @property
    def epoch(self) -> int:
        return int(self._counters["epoch"])

    @property
    def step(self) -> int:
        return int(self._counters["step"])

    def restore(self) -> bool:
        """Restores the last checkpoint. Returns whether there was one.

        Raises:
          ValueError: it does not fit what is tracked.
        """
        latest = self._manager.latest_checkpoint
        if latest is None:
            return False
        try:
            self._checkpoint.restore(latest).assert_existing_objects_matched()
        except (AssertionError, ValueError, tf.errors.OpError) as error:
            raise ValueError(
                f"checkpoint {latest} does not fit this configuration "
                f"({str(error).splitlines()[0]}): use another --model_dir, or the "
                "configuration that it was written with."
            ) from error
        return True

    def save(self) -> None:
        """Writes a checkpoint of the current state."""
        self._manager.save(checkpoint_number=self.epoch * self._steps_per_epoch + self.step)

    def __enter__(self):
        if threading.current_thread() is not threading.main_thread():
            return self

        def stop(number, frame):
            if self._stop:
                raise KeyboardInterrupt("stopped before it could be saved.")
            self._stop = True
            logging.warning("stopping after this step (interrupt again to stop at once)")

        self._handlers = {
            number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def __exit__(self, *_):
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def on_train_batch_end(self, batch, logs=None):
        self._counters["step"].assign_add(1)
        if batch + 1 < self.params["steps"]:  # Otherwise the end of the epoch saves it.
            self._save_if(self._stop or self.step % self._every_steps == 0)

    def on_epoch_end(self, epoch, logs=None):
        self._counters["epoch"].assign(epoch + 1)
        self._counters["step"].assign(0)
        self._save_if(True)

    def _save_if(self, due):
        if due:
            self.save()
        if self._stop:
            raise Interrupted("The same command resumes from here.")
