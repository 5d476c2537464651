"""Quality of a predictor's ranking of networks, against the scores of their trainings."""

from typing import Dict, Tuple

import numpy as np
import scipy.stats


def kendall_tau(predicted: np.ndarray, scores: np.ndarray) -> float:
    """Kendall's tau-b: 1 for the same order, 0 for none in common, -1 for the reverse.

    Args:
      predicted: [N], larger for networks that are expected to be better.
      scores: [N], what training gave.

    Returns:
      nan where one of the two is constant.
    """
    return float(scipy.stats.kendalltau(predicted, scores).statistic)


def tau_interval(
    predicted: np.ndarray, scores: np.ndarray, draws: int = 2000, level: float = 0.95, seed: int = 0
) -> Tuple[float, float]:
    """Bootstrap interval of Kendall's tau-b over the networks (percentiles)."""
    predicted, scores = np.asarray(predicted), np.asarray(scores)
    random = np.random.default_rng(seed)
    taus = []
    for _ in range(draws):
        chosen = random.integers(0, len(scores), len(scores))
        taus.append(kendall_tau(predicted[chosen], scores[chosen]))
    low, high = np.nanpercentile(taus, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)


def top_precision(predicted: np.ndarray, scores: np.ndarray, share: float = 0.2) -> float:
    """Share of the predicted best networks that are among the best; by chance, `share`."""
    count = max(1, round(share * len(scores)))
    best = set(np.argsort(-np.asarray(scores), kind="stable")[:count])
    chosen = np.argsort(-np.asarray(predicted), kind="stable")[:count]
    return sum(index in best for index in chosen) / count


def regret(predicted: np.ndarray, scores: np.ndarray) -> float:
    """Score of the best network, less that of the one predicted to be the best."""
    return float(np.max(scores) - np.asarray(scores)[int(np.argmax(predicted))])


def summarize_ranking(predicted: np.ndarray, scores: np.ndarray) -> Dict[str, float]:
    """All of the above: tau, tau_low, tau_high, top_precision, regret."""
    low, high = tau_interval(predicted, scores)
    return {
        "tau": kendall_tau(predicted, scores),
        "tau_low": low,
        "tau_high": high,
        "top_precision": top_precision(predicted, scores),
        "regret": regret(predicted, scores),
    }
