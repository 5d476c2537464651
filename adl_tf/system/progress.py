"""One bar on stderr for the whole of a run, with its metrics and its remaining time."""

import os
import sys
from typing import Mapping, Optional

# Set by a program that runs others: which of its stages one is, how many seconds those after it
# take as planned, and how many are left for all of them.
STAGE, SECONDS_AFTER = "ADL_TF_STAGE", "ADL_TF_SECONDS_AFTER"
SECONDS_IN_ALL = "ADL_TF_SECONDS_IN_ALL"
# Seconds between two pictures of the bar; logs get few of them.
_TERMINAL, _LOG = 0.5, 20.0


def say(text: str) -> None:
    """Prints a line for the user to stderr; stdout is for the result."""
    print(text, file=sys.stderr, flush=True)


class Progress:
    """A bar over units of work, such as steps.

    Args:
      total: units of the whole run.
      done: those that an earlier run did.
    """

    def __init__(self, total: int, done: int = 0):
        from tqdm import tqdm  # Here, since programs import this module before they check flags.

        stage = os.environ.get(STAGE)
        self._after = float(os.environ.get(SECONDS_AFTER, 0))
        self._in_all = float(os.environ.get(SECONDS_IN_ALL, "inf"))
        self._bar = tqdm(
            desc="?",  # The remaining time.
            total=max(total, done),
            initial=done,
            file=sys.stderr,
            mininterval=_TERMINAL if sys.stderr.isatty() else _LOG,
            bar_format=f"{stage + ' ' if stage else ''}{{percentage:3.0f}}%|{{bar:20}}| "
            "{elapsed}<{desc}{postfix}",
        )
        self._first = None  # Units and seconds when the first work was done, which starts slowly.

    def advance(self, units: int, text: str = "") -> None:
        """Counts work that is done, and shows a text beside the bar."""
        bar = self._bar
        left = self._seconds_left(bar.n + units)
        if left is not None:
            bar.set_description_str(bar.format_interval(left), refresh=False)
        # Formatted only if it will be seen: refreshing has its own clock.
        bar.set_postfix_str(f"{self._rest(left)}{text}", refresh=False)
        bar.update(units)
        self._first = self._first or (bar.n, bar.format_dict["elapsed"])

    def announce(self, text: str) -> None:
        """Shows a text at once, before something that takes long."""
        self._bar.set_postfix_str(f"{self._rest(self._seconds_left(self._bar.n))}{text}")

    def line(self, text: str) -> None:
        """Prints a line that stays, above the bar."""
        self._bar.write(text, file=sys.stderr)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """Ends the line of the bar, before something else is printed."""
        self._bar.close()

    def _rest(self, left: Optional[float]) -> str:
        """Time left for all stages; empty where there is only one.

        Later ones get shorter where this one takes longer than was planned.
        """
        if not self._after or left is None:
            return ""
        limit = self._in_all - self._bar.format_dict["elapsed"]
        in_all = max(left, min(left + self._after, limit))
        return f"{self._bar.format_interval(in_all)} in all, "

    def _seconds_left(self, done: int) -> Optional[float]:
        """At the rate of the whole run but its start, validations included: that of the last steps
        would jump. None while nothing is known."""
        bar = self._bar
        if self._first is None or done <= self._first[0]:
            return None
        units, seconds = self._first
        rate = (bar.format_dict["elapsed"] - seconds) / (done - units)
        return rate * max(0, bar.total - done)


def format_metrics(metrics: Mapping[str, float]) -> str:
    """Names and values for people: "loss: 0.5 - miou: 0.25"."""
    return " - ".join(f"{name}: {value:.4g}" for name, value in metrics.items())
