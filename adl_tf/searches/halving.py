"""Successive halving: which candidates survive a rung, and how much is trained in all."""

import math
from typing import Dict, List


def survivors(losses: Dict[int, float], share: float) -> List[int]:
    """The candidates that survive a rung: the best share of them, at least one.

    Args:
      losses: loss of each candidate; those that are not finite never survive.
      share: share of all, rounded up.

    Returns:
      their keys, ascending.
    """
    finite = sorted((key for key in losses if math.isfinite(losses[key])), key=losses.get)
    return sorted(finite[: max(1, math.ceil(share * len(losses)))])


def rounds(candidates: int, rungs: int, share: float) -> List[int]:
    """Number of candidates trained in each rung, if all losses are finite.

    One that is left alone of several has won, and is not trained further.
    """
    counts = [candidates]
    while len(counts) < rungs:
        counts.append(max(1, math.ceil(share * counts[-1])))
    return [count for count in counts if candidates == 1 or count > 1]
