"""How many cases of each kind ran, for the table of docs/reliability.md."""

import collections

_counts = collections.Counter()


def add(kind: str, where: str, number: int) -> None:
    """Counts cases that passed."""
    _counts[kind, where] += number


def lines():
    """The table, as lines."""
    kinds = collections.Counter()
    for (kind, _), number in _counts.items():
        kinds[kind] += number
    return [f"{kind}: {number}" for kind, number in sorted(kinds.items())]
