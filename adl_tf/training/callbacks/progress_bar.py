"""The progress bar of long runs."""

import contextlib
import sys
from typing import Callable, Optional

from adl_tf.training.addons import TQDMProgressBar


class ProgressBar(TQDMProgressBar):
    """One bar per epoch on stderr, with the metrics so far.

    Args:
      note: returns text to show after the metrics; called at the end of each epoch.
    """

    def __init__(self, note: Optional[Callable[[], str]] = None):
        super().__init__(
            show_overall_progress=False,
            update_per_second=2,
            epoch_bar_format="{n_fmt}/{total_fmt}{bar:20} {elapsed}<{remaining} {desc}",
        )
        self._note = note
        self._text = ""
        self._latest = {}

    def on_epoch_begin(self, epoch, logs=None):
        with contextlib.redirect_stdout(sys.stderr):
            super().on_epoch_begin(epoch, logs or {})

    def on_batch_end(self, batch, logs=None):
        self._latest = logs or {}
        super().on_batch_end(batch, self._latest)

    def on_epoch_end(self, epoch, logs=None):
        if self._note is not None:
            self._text = self._note()
        super().on_epoch_end(epoch, logs or {})

    def close(self) -> None:
        """Ends the line of the bar, before something else is printed."""
        bar = getattr(self, "epoch_progress_tqdm", None)
        if bar is not None:
            bar.close()

    def format_metrics(self, logs=None, factor=1):
        # The base class would average values that are averages already.
        text = super().format_metrics(self._latest if factor > 1 else logs or {})
        return f"{text}{self.metrics_separator}{self._text}" if self._text else text
