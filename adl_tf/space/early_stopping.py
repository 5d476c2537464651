"""Who goes on in a random search with early stopping, and how much is trained in all."""

from typing import Sequence

import numpy as np

_DRAWS = 200  # Searches over which an expectation is taken.


def goes_on(score: float, others: Sequence[float], share: float) -> bool:
    """Whether a genotype is in the best share of all that reached a rung.

    The rule looks back only, so that genotypes can come one at a time: that of asynchronous
    successive halving (https://arxiv.org/abs/1810.05934, section 3).

    Args:
      score: its own, large if it is good.
      others: of those that were there before.
      share: of them, the new one included, that go on.
    """
    return score >= np.quantile([*others, score], 1 - share)


def expected_trainings(candidates: int, rungs: int, share: float) -> float:
    """How many whole trainings a search takes, in expectation.

    Args:
      candidates: genotypes.
      rungs: parts of a training.
      share: that goes on after each, see `goes_on`. The order of the genotypes is taken to be
        another one in each rung.
    """
    random = np.random.default_rng(0)
    parts = 0
    for _ in range(_DRAWS):
        seen = [[] for _ in range(rungs)]
        for _ in range(candidates):
            for scores in seen:
                score = random.random()
                parts += 1
                stays = goes_on(score, scores, share)
                scores.append(score)
                if not stays:
                    break
    return parts / rungs / _DRAWS
