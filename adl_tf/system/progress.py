"""One bar on stderr for the whole of a run, with its metrics and its remaining time."""

import os
import sys
from typing import Mapping

# Set by a program that runs others: which of its stages one is, and how many seconds those after it
# take.
STAGE, SECONDS_AFTER = "ADL_TF_STAGE", "ADL_TF_SECONDS_AFTER"
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
        self._bar = tqdm(
            total=max(total, done),
            initial=done,
            file=sys.stderr,
            # The rate of the whole run, validations included: one of the last steps would jump.
            smoothing=0,
            mininterval=_TERMINAL if sys.stderr.isatty() else _LOG,
            bar_format=f"{stage + ' ' if stage else ''}{{percentage:3.0f}}%|{{bar:20}}| "
            "{elapsed}<{remaining}{postfix}",
        )

    def advance(self, units: int, text: str = "") -> None:
        """Counts work that is done, and shows a text beside the bar."""
        bar = self._bar
        # Formatted only if it will be seen: refreshing has its own clock.
        bar.set_postfix_str(f"{self._rest()}{text}", refresh=False)
        bar.update(units)

    def announce(self, text: str) -> None:
        """Shows a text at once, before something that takes long."""
        self._bar.set_postfix_str(f"{self._rest()}{text}")

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

    def _rest(self) -> str:
        """Time left for all stages; empty where there is only one."""
        bar = self._bar
        done, elapsed = bar.n - bar.initial, bar.format_dict["elapsed"]
        if not self._after or not done:
            return ""
        left = elapsed / done * (bar.total - bar.n) + self._after
        return f"{bar.format_interval(left)} in all, "


def format_metrics(metrics: Mapping[str, float]) -> str:
    """Names and values for people: "loss: 0.5 - miou: 0.25"."""
    return " - ".join(f"{name}: {value:.4g}" for name, value in metrics.items())
