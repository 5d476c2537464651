"""Errors that stop a conversion, and bad examples that need not."""

import collections
import re
import sys
from typing import Dict, List

_SHOWN = 3  # Files of each kind of fault.


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

    @property
    def kind(self) -> str:
        """The text that faults of one kind share: all but numbers and what is quoted."""
        return re.sub(r"\(.*\)|'[^']*'|\d+", "", f"{self.reason}; {self.fix}")


class ErrorCount:
    """Bad examples, which a conversion collects to its end, so that they need not be found one by
    one."""

    def __init__(self, allowed: int):
        self._faults: Dict[str, List[BadExample]] = collections.defaultdict(list)
        self._allowed = allowed

    @property
    def count(self) -> int:
        """Bad examples so far."""
        return sum(map(len, self._faults.values()))

    @property
    def too_many(self) -> bool:
        """Whether there are more than allowed."""
        return self.count > self._allowed

    def add(self, fault: BadExample) -> None:
        """Counts one bad example."""
        self._faults[fault.kind].append(fault)

    def report(self) -> None:
        """Names them on stderr, a line for each kind: how many, and the first ones."""
        for faults in sorted(self._faults.values(), key=len, reverse=True):
            first, *others = faults
            line = f"skipped: {first}"
            if others:
                files = ", ".join(fault.file for fault in others[: _SHOWN - 1])
                line += f" And {len(others)} more of this kind, such as {files}."
            print(line, file=sys.stderr)

    def summary(self) -> str:
        """One line about too many of them."""
        kinds = len(self._faults)
        first = max(self._faults.values(), key=len)[0]
        which = f" of {kinds} kinds" if kinds > 1 else ""
        examples = "example" if self.count == 1 else "examples"
        return (
            f"{first} {self.count} bad {examples}{which}, {self._allowed} allowed: fix those named "
            "above and give the same command, or raise --max_errors."
        )
