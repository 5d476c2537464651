"""The few best and worst of many."""

import bisect
from typing import Any, Callable, List


class Extremes:
    """Keeps only the items with the lowest and the highest scores in memory.

    Args:
      count: how many of each.
    """

    def __init__(self, count: int):
        self._count = count
        self._scores = []
        self._items = []

    def add(self, score: float, make: Callable[[], Any]) -> None:
        """Adds an item, which is only made if it is kept."""
        place = bisect.bisect_right(self._scores, score)
        if self._count <= place <= len(self._scores) - self._count:
            return
        self._scores.insert(place, score)
        self._items.insert(place, make())
        # Removes the one in the middle, once both ends are full.
        del self._scores[self._count : -self._count]
        del self._items[self._count : -self._count]

    @property
    def lowest(self) -> List[Any]:
        """Items with the lowest scores, the lowest first."""
        return self._items[: self._count]

    @property
    def highest(self) -> List[Any]:
        """Items with the highest scores, the highest first; none of the lowest again."""
        return self._items[self._count :][::-1]
