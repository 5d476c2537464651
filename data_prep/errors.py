"""Errors that stop a conversion, and bad examples that need not."""

import sys

from tqdm import tqdm

_MOST = 10  # Bad examples beyond those allowed that are named.


class ConversionError(ValueError):
    """Why a conversion cannot continue, in one line."""


class BadExample(Exception):
    """An example that cannot be converted.

    Attributes:
      file: what to look at.
      reason: what is wrong with it.
      fix: what to do about it.
    """

    def __init__(self, file: str, reason: str, fix: str):
        super().__init__(file, reason, fix)  # All three, so that it can be pickled.
        self.file, self.reason, self.fix = file, reason, fix

    def __str__(self):
        return f"{self.file}: {self.reason}; {self.fix}."


class ErrorCount:
    """Names each bad example on stderr and fails if there are too many: after ten more than
    allowed, or at the end, so that they need not be found one by one.

    Attributes:
      count: bad examples so far.
    """

    def __init__(self, allowed: int):
        self.count = 0
        self._allowed = allowed
        self._last = ""

    def add(self, message: str) -> None:
        """Counts one bad example.

        Args:
          message: which one, and what is wrong with it; one line.

        Raises:
          ConversionError: ten more than allowed.
        """
        self.count += 1
        self._last = message
        tqdm.write(f"skipped: {message}", file=sys.stderr)
        if self.count >= self._allowed + _MOST:
            self.check()

    def check(self) -> None:
        """Raises ConversionError if there are more than allowed."""
        if self.count > self._allowed:
            more = " or more" if self.count >= self._allowed + _MOST else ""
            raise ConversionError(
                f"{self._last} {self.count}{more} bad examples, {self._allowed} allowed: fix those "
                "named above or raise --max_errors."
            )
