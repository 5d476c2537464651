"""How much a search by sampled paths decided: whether its candidates can be told apart."""

from typing import Dict, NamedTuple

import numpy as np

from adl_tf.evaluation.ranking import kendall_tau
from adl_tf.space.decision import weightless_share, weightless_warning
from adl_tf.space.genotype import Genotype

# Below these the order of the candidates is mostly chance.
DECIDED_TAU = 0.3
DECIDED_GAIN = 1.0
# Standard deviations from the median of a normal distribution to its quartiles.
_QUARTILE = 0.6745


class RankingDecision(NamedTuple):
    """What the losses of candidates say beyond which of them is lowest.

    One of a hundred candidates is always the best one. It was found rather than drawn where other
    images order the candidates alike, and where what one half of the batches prefers is better
    than random on the other half. That the images agree does not say that training the genotypes
    would order them so: benchmarks/RESULTS.md has measured that.

    Attributes:
      candidates: how many were scored.
      random_loss: median loss of the random ones among them.
      random_deviation: standard deviation of these, by the distance from the median to the lower
        quartile: some genotypes have losses far above all others in shared weights, which say
        nothing of how far the good ones are apart.
      half_tau: Kendall's tau-b between the orders by the even and by the odd batches.
      gain: how many standard deviations the best by one half of the batches is below the random
        ones on the other half.
      weightless_ops: share of the best one's ops that have no parameters.
    """

    candidates: int
    random_loss: float
    random_deviation: float
    half_tau: float
    gain: float
    weightless_ops: float

    @property
    def is_decided(self) -> bool:
        """Whether the candidates can be told apart."""
        return self.half_tau > DECIDED_TAU and self.gain > DECIDED_GAIN

    def numbers(self) -> Dict[str, float]:
        """The measures that JSON gets; those that a single candidate lacks are left out."""
        return {name: value for name, value in self._asdict().items() if np.isfinite(value)}

    def summary(self) -> str:
        """One line for people."""
        return (
            f"{self.candidates} candidates; the loss of random ones is {self.random_loss:.4f} +- "
            f"{self.random_deviation:.4f}; what half of the batches prefers is {self.gain:.2g} of "
            f"these deviations better on the other half; tau between the halves "
            f"{self.half_tau:.2f}; {self.weightless_ops:.0%} of the best one's ops without "
            "parameters"
        )

    def warning(self) -> str:
        """One line if the candidates can hardly be told apart, or if the best has hardly any
        parameters; else empty."""
        if not self.is_decided:
            return (
                "warning: the candidates of this search can hardly be told apart, another one is "
                "about as good: train the shared weights longer (STEPS), or score more images "
                "(Ranker.batches)."
            )
        return weightless_warning(self.weightless_ops, "train the shared weights longer (STEPS)")


def measure_ranking(
    losses: np.ndarray, random_candidates: int, genotype: Genotype
) -> RankingDecision:
    """Measures how far candidates can be told apart.

    Args:
      losses: [N, batches], of all candidates, the random ones first.
      random_candidates: how many these are.
      genotype: the best one.
    """
    losses = np.asarray(losses, np.float64)
    halves = losses[:, ::2].mean(axis=1), losses[:, 1::2].mean(axis=1)
    gains = []
    for one, other in (halves, halves[::-1]):
        median, deviation = _spread(other[:random_candidates])
        best = other[int(np.argmin(one))]
        gains.append((median - best) / deviation if deviation else 0.0)
    median, deviation = _spread(losses[:random_candidates].mean(axis=1))
    return RankingDecision(
        candidates=len(losses),
        random_loss=median,
        random_deviation=deviation,
        half_tau=kendall_tau(*halves),
        gain=float(np.mean(gains)),
        weightless_ops=weightless_share(genotype.cell),
    )


def _spread(losses: np.ndarray):
    """(median, standard deviation of the better half)."""
    if len(losses) < 2:
        return float(np.median(losses)), float("nan")
    quartile, median = np.percentile(losses, [25, 50])
    return float(median), float((median - quartile) / _QUARTILE)
