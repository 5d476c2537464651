"""Comparison of the two arms of a search's trials: what it proposed, and random networks."""

from typing import Any, Dict, NamedTuple, Sequence, Tuple

import numpy as np
import scipy.stats

from adl_tf.searches.proposals import RANDOM, SEARCHED
from adl_tf.searches.trials import Trial

# Below it, the difference of the two arms is not taken for chance.
SIGNIFICANT = 0.05


class Comparison(NamedTuple):
    """Whether what a search proposes learns better than random networks of the same cost.

    Attributes:
      searched, random: mean training losses over the first rung, which all candidates reach.
      p_value: one-sided, of the rank test (Mann and Whitney): how often chance alone would put the
        searched ones as far ahead.
    """

    searched: Tuple[float, ...]
    random: Tuple[float, ...]
    p_value: float

    def numbers(self) -> Dict[str, Any]:
        """The fields as JSON holds them; a loss that is not finite is null."""
        arms = {
            name: [loss if np.isfinite(loss) else None for loss in getattr(self, name)]
            for name in (SEARCHED, RANDOM)
        }
        return {**arms, "p_value": self.p_value}

    def sentence(self) -> str:
        """The conclusion in a sentence."""
        medians = (
            f"median training loss {np.median(self.searched):.3f} against "
            f"{np.median(self.random):.3f}, best {min(self.searched):.3f} against "
            f"{min(self.random):.3f}, p = {self.p_value:.2g}"
        )
        if self.p_value < SIGNIFICANT:
            return f"the search's proposals are better than random ones of the same cost: {medians}"
        return f"the search's proposals are no better than random ones of the same cost: {medians}"


def compare(trials: Sequence[Trial]) -> Comparison:
    """Compares the two arms of a search's trials."""
    searched, random = (
        tuple(trial.losses[0] for trial in trials if trial.candidate.arm == arm)
        for arm in (SEARCHED, RANDOM)
    )
    test = scipy.stats.mannwhitneyu(searched, random, alternative="less")
    return Comparison(searched, random, float(test.pvalue))
