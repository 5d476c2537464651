"""Checkpoints with everything that a run resumes from, also written when a signal ends it."""

import math
import os
import signal
import threading
from typing import Any, Dict, Iterator, List, Optional, Sequence

import numpy as np
import tensorflow as tf
from absl import logging

from adl_tf.distribution.workers import Workers
from adl_tf.models.checkpoint_files import (
    checkpoint_number,
    finish_writing,
    list_checkpoints,
    newest_checkpoint,
    remove_checkpoint,
    split_by_damage,
    write_checkpoint,
)
from adl_tf.system.files import write_text
from adl_tf.system.interrupts import INTERRUPTS, Interrupted

# A checkpoint that was written so few steps before a loss that is not finite was too late.
TOO_LATE = 20
_NAME = "ckpt"
_VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"  # TensorFlow's ending of the names of variables.


class Diverged(ValueError):
    """The state or the loss of a run is no longer finite."""


class Checkpointing(tf.keras.callbacks.Callback):
    """Checkpoints with everything that a run needs to resume bit for bit.

    Saves every `every_steps` steps, at the end of each epoch, and, as a context manager, when
    the run is interrupted (SIGINT, SIGTERM), which then ends with `Interrupted`. Outside the main
    thread, where Python sets no signal handlers, signals are left alone.

    A state that is not finite is never saved: the run ends with an error instead. The model's
    metrics are saved too, so that an epoch that was interrupted ends with those of all
    its steps.

    Args:
      model_dir: directory of the checkpoints.
      steps_per_epoch: training steps in an epoch.
      every_steps: steps between checkpoints inside an epoch.
      workers: the processes of the run, which save and stop at the same steps.
      chief_dir: directory of the checkpoints to resume from.
      rates: the bindings to lower when the run diverges, for the message.
      metrics: metrics of the model that `fit` trains.
      **tracked: what a checkpoint holds besides the counters.

    Attributes:
      epoch: epochs finished.
      step: steps of the next epoch that are done.
    """

    def __init__(
        self,
        model_dir: str,
        steps_per_epoch: int,
        every_steps: int,
        workers: Optional[Workers] = None,
        chief_dir: Optional[str] = None,
        rates: str = "the learning rate",
        metrics: Sequence[tf.keras.metrics.Metric] = (),
        **tracked,
    ):
        super().__init__()
        self._model_dir = model_dir
        self._steps_per_epoch = steps_per_epoch
        self._every_steps = every_steps
        self._workers = workers or Workers(tf.distribute.get_strategy())
        self._chief_dir = chief_dir or model_dir
        self._counters = {
            name: tf.Variable(0, dtype=tf.int64, trainable=False) for name in ("epoch", "step")
        }
        self._rates = rates
        self._tracked = tracked
        self._metrics = [v for metric in metrics for v in metric.variables]
        self._restored_metrics: List[np.ndarray] = []
        self._checkpoint = tf.train.Checkpoint(**tracked, metrics=self._metrics, **self._counters)
        self._damaged: Dict[str, str] = {}
        self._stop = False
        self._handlers = {}

    @property
    def epoch(self) -> int:
        return int(self._counters["epoch"])

    @property
    def step(self) -> int:
        return int(self._counters["step"])

    @property
    def _done(self) -> int:
        """Steps of the whole run that are done."""
        return self.epoch * self._steps_per_epoch + self.step

    def restore(self) -> bool:
        """Restores the newest checkpoint that can be read. Returns whether there was one.

        Raises:
          ValueError: it does not fit what is tracked, or none of them can be read.
        """
        newest = self._newest()
        if newest is None:
            return False
        reader = tf.train.load_checkpoint(newest)
        tracked = {**self._tracked, "metrics": self._metrics}
        # Earlier versions had no metrics, and a best score of other precision.
        if not any(name.startswith("metrics/") for name in reader.get_variable_to_shape_map()):
            del tracked["metrics"]
        for name in _of_other_precision(reader, tracked):
            variable = tracked.pop(name)
            variable.assign(tf.cast(reader.get_tensor(name + _VALUE), variable.dtype))
        checkpoint = tf.train.Checkpoint(**tracked, **self._counters)
        try:
            checkpoint.read(newest).assert_existing_objects_matched()
        except (AssertionError, ValueError, tf.errors.OpError) as error:
            raise ValueError(
                f"checkpoint {newest} does not fit this configuration "
                f"({str(error).splitlines()[0]}): use another --model_dir, or the "
                "configuration that it was written with."
            ) from error
        self._restored_metrics = [variable.numpy() for variable in self._metrics]
        return True

    def _newest(self) -> Optional[str]:
        """Path of the checkpoint that the chief resumes from; None if there is none."""
        number = -1
        if self._workers.is_chief:
            finish_writing(self._model_dir)
            newest = newest_checkpoint(self._model_dir)
            _, self._damaged = split_by_damage(self._model_dir)
            number = checkpoint_number(newest) if newest else -1
        number = self._workers.from_chief(number)
        return None if number < 0 else os.path.join(self._chief_dir, f"{_NAME}-{number}")

    def save(self) -> None:
        """Writes a checkpoint of the current state, and removes those that are no longer needed.

        Raises:
          Diverged: the state has values that are not finite; nothing is written.
          OSError: no room on the device.
        """
        self.check_finite()
        path = os.path.join(self._model_dir, f"{_NAME}-{self._done}")
        write_checkpoint(self._checkpoint, path)
        self._damaged.pop(path, None)
        for damaged in [d for d in self._damaged if checkpoint_number(d) < self._done]:
            del self._damaged[damaged]
            remove_checkpoint(damaged)
        paths = self._whole()
        removed = superfluous([checkpoint_number(path) for path in paths])
        kept = [path for path in reversed(paths) if checkpoint_number(path) not in removed]
        # For TensorFlow's own tools; their function to write it is deprecated.
        state = tf.compat.v1.train.generate_checkpoint_state_proto(self._model_dir, path, kept)
        write_text(str(state), os.path.join(self._model_dir, "checkpoint"))
        for number in removed:
            remove_checkpoint(os.path.join(self._model_dir, f"{_NAME}-{number}"))

    def _whole(self) -> List[str]:
        """Paths of the checkpoints that are not damaged, the newest first."""
        return [p for p in list_checkpoints(self._model_dir) if p not in self._damaged]

    def check_finite(self) -> None:
        """Raises `Diverged` if the state has values that are not finite, see `diverged`."""
        for variable in self._float_variables():
            if not np.isfinite(variable.read_value().numpy()).all():
                raise self.diverged(variable.name)

    def diverged(self, what: str) -> Diverged:
        """The error that ends a run when something is not finite.

        Removes checkpoints that were written so few steps before that they lead there again, even
        at a lower rate; not the last one, unless the run has only begun.
        """
        numbers = [checkpoint_number(path) for path in self._whole()]
        late = [number for number in numbers if self._done - number <= TOO_LATE]
        if late == numbers and numbers and numbers[-1] > TOO_LATE:
            late = late[:-1]
        for number in late:
            remove_checkpoint(os.path.join(self._model_dir, f"{_NAME}-{number}"))
        kept = [number for number in numbers if number not in late]
        place = f"resumes from step {kept[0]}" if kept else "starts again"
        return Diverged(
            f"{what} is not finite after step {self._done}; nothing of it is saved. Lower "
            f"{self._rates}, or look for broken images: the same command {place}."
        )

    def _float_variables(self) -> Iterator[tf.Variable]:
        for tracked in self._tracked.values():
            for item in tracked if isinstance(tracked, (list, tuple)) else [tracked]:
                if isinstance(item, tf.Variable):
                    variables = [item]
                else:  # Those of an optimizer are a method.
                    variables = item.variables() if callable(item.variables) else item.variables
                yield from (v for v in variables if v.dtype.is_floating)

    def __enter__(self):
        if threading.current_thread() is not threading.main_thread():
            return self

        def stop(number, frame):
            if self._stop:
                raise KeyboardInterrupt("stopped before it could be saved.")
            self._stop = True
            logging.warning("stopping after this step (interrupt again to stop at once)")

        self._handlers = {
            number: signal.signal(number, stop)
            for number in INTERRUPTS
            if signal.getsignal(number) is not signal.SIG_IGN
        }
        return self

    def __exit__(self, kind, *_):
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        if self._stop and kind is None:  # It came after the last checkpoint.
            raise Interrupted("The same command resumes from here.")

    def on_epoch_begin(self, epoch, logs=None):
        # `fit` has just reset them.
        if self.step:
            for variable, value in zip(self._metrics, self._restored_metrics):
                variable.assign(value)
        self._restored_metrics = []

    def on_train_batch_end(self, batch, logs=None):
        # A search has a second loss while it alternates.
        losses = [logs[name] for name in ("loss", "arch_loss") if name in (logs or {})]
        if not all(map(math.isfinite, losses)):
            raise self.diverged("the loss")
        self._counters["step"].assign_add(1)
        if batch + 1 < self.params["steps"]:  # Otherwise the end of the epoch saves it.
            self._save_if(self.step % self._every_steps == 0)

    def on_epoch_end(self, epoch, logs=None):
        self._counters["epoch"].assign(epoch + 1)
        self._counters["step"].assign(0)
        self._save_if(True)

    def _save_if(self, due):
        stop = self._workers.any(self._stop)
        if due or stop:
            self.save()
        if stop:
            raise Interrupted("The same command resumes from here.")


class StopWhenNotFinite(tf.keras.callbacks.Callback):
    """Ends a run that diverged before anything of an epoch is written.

    Must come before all callbacks that write.

    Args:
      checkpointing: that of the run.
      validation: whether the validation's loss counts. In float16 it may overflow before the
        moving statistics are any good, with weights that are.
    """

    def __init__(self, checkpointing: Checkpointing, validation: bool = True):
        super().__init__()
        self._checkpointing = checkpointing
        self._validation = validation

    def on_epoch_end(self, epoch, logs=None):
        self._checkpointing.check_finite()
        if self._validation and not math.isfinite((logs or {}).get("val_loss", 0.0)):
            raise self._checkpointing.diverged("the loss of the validation images")


def _of_other_precision(reader, tracked: Dict[str, Any]) -> List[str]:
    """Names of the variables that a checkpoint holds as another type."""
    types = reader.get_variable_to_dtype_map()
    return [
        name
        for name, item in tracked.items()
        if isinstance(item, tf.Variable) and types.get(name + _VALUE, item.dtype) != item.dtype
    ]


def superfluous(numbers: Sequence[int]) -> List[int]:
    """Which checkpoints are no longer needed.

    Needed are the newest; the newest that is old enough to resume from when the run diverges now;
    and the one that will be that next.

    Args:
      numbers: steps at which they were written, the newest first.
    """
    newest, *others = numbers
    old = [number for number in others if newest - number > TOO_LATE]
    young = [number for number in others if newest - number <= TOO_LATE]
    return old[1:] + young[:-1]
