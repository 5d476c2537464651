"""Successive halving: which candidates survive a rung, and how much is trained in all."""

import math
from typing import Dict, List


def lowest(losses: Dict[int, float], count: int) -> List[int]:
    """The candidates of the lowest losses, ascending; none whose loss is not finite.

    Args:
      losses: loss of each candidate.
      count: how many at most.
    """
    finite = sorted((key for key in losses if math.isfinite(losses[key])), key=losses.get)
    return sorted(finite[:count])


def surviving(candidates: int, share: float) -> int:
    """How many of so many candidates survive a rung: a share of them, rounded up, at least one."""
    return max(1, math.ceil(share * candidates))


def survivors(losses: Dict[int, float], share: float) -> List[int]:
    """The candidates that survive a rung, see `lowest` and `surviving`."""
    return lowest(losses, surviving(len(losses), share))


def rounds(candidates: int, rungs: int, share: float) -> List[int]:
    """Number of candidates trained in each rung, if all losses are finite.

    One that is left alone of several has won, and is not trained further.
    """
    counts = [candidates]
    while len(counts) < rungs:
        counts.append(surviving(counts[-1], share))
    return [count for count in counts if candidates == 1 or count > 1]
