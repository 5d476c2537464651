"""Checks of the numbers that a run is configured with."""

from typing import Optional


def require_positive(**numbers: Optional[int]) -> None:
    """Checks numbers that count something; None stands for a default and is allowed.

    Raises:
      ValueError: one is not a positive integer; the message names its keyword.
    """
    for name, number in numbers.items():
        if number is not None and (not isinstance(number, int) or number < 1):
            raise ValueError(f"{name} = {number!r}: it must be a positive integer.")
