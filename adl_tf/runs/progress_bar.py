"""The progress of `fit` over all of its phases."""

from typing import Callable, Optional, Sequence

import tensorflow as tf

from adl_tf.runs.phases import Phase
from adl_tf.system.progress import Progress, format_metrics

# An alternating step is one of the weights and one of the architecture.
_ALTERNATING = 2


def work(phases: Sequence[Phase]) -> int:
    """Number of steps of the phases, alternating ones counted twice."""
    return sum(_steps([phase]) * _units(phase) for phase in phases)


class ProgressBar(tf.keras.callbacks.Callback):
    """One bar for the whole run, and a line for each validation.

    Args:
      whole: the phases of the run from its first step.
      rest: those that are left.
      later: units of work that follow the last step; the bar then stays open for them.
      note: returns text to show after the metrics; called after each validation.
    """

    def __init__(
        self,
        whole: Sequence[Phase],
        rest: Sequence[Phase],
        later: int = 0,
        note: Optional[Callable[[], str]] = None,
    ):
        super().__init__()
        self._rest = rest
        self._note = note
        self._units = 1
        self._steps = _steps(whole) - _steps(rest)
        self._total, self._done = work(whole) + later, work(whole) - work(rest)
        self._later = later

    def __enter__(self):
        # Not before: what fails until then needs a line of its own.
        self.progress = Progress(self._total, self._done)
        if self._rest:
            self.progress.announce("building the graph of a step, which takes up to a minute")
        return self

    def __exit__(self, kind, *_):
        if kind or not self._later:
            self.progress.close()  # Ends its line, before something else is printed.

    def on_epoch_begin(self, epoch, logs=None):
        (phase,) = [p for p in self._rest if p.first_epoch <= epoch < p.end_epoch]
        self._units = _units(phase)

    def on_train_batch_end(self, batch, logs=None):
        self._steps += 1
        self.progress.advance(self._units, format_metrics(logs or {}))

    def on_test_begin(self, logs=None):
        self.progress.announce("scoring the validation images")

    def on_epoch_end(self, epoch, logs=None):
        notes = [format_metrics(logs or {}), self._note() if self._note else ""]
        self.progress.line(f"step {self._steps}: " + " - ".join(filter(None, notes)))


def _units(phase: Phase) -> int:
    return _ALTERNATING if phase.alternating else 1


def _steps(phases: Sequence[Phase]) -> int:
    return sum((phase.end_epoch - phase.first_epoch) * phase.steps for phase in phases)
