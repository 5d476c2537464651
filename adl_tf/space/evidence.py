"""Alpha without the noise of its training: op means, and shrunk deviations of edges.

Adam walks on noise too. Of logits that were trained for `steps` at `rate`, noise alone moves each
by about rate * sqrt(steps). What they differ by beyond that is evidence. With the model

    alpha[edge, op] = mean[op] + deviation[edge, op] + noise,

means and deviations normal with variances of their own, these are estimated from alpha itself
(empirical Bayes: Efron and Morris 1975, https://doi.org/10.1080/01621459.1975.10479864), and each
part is shrunk by the share of its variance that is not noise. Edges are taken to differ by as much
as ops do, at least: where noise hides by how much, a cell of a single op would be proposed.
"""

import numpy as np


def shrunk(alpha: np.ndarray, noise: float) -> np.ndarray:
    """The expected logits, given trained ones.

    Args:
      alpha: [edges, ops], logits.
      noise: standard deviation of each logit if gradients were noise.

    Returns:
      float64 [edges, ops]; the mean of an edge's logits, which a softmax ignores, is 0.
    """
    return _Posterior(alpha, noise).mean


def draw(alpha: np.ndarray, noise: float, random: np.random.Generator) -> np.ndarray:
    """Logits that could as well be the true ones, given trained ones; see `shrunk`."""
    return _Posterior(alpha, noise).draw(random)


# Of a draw, so that no op and no edge comes first where nothing is known.
_TIE = 1e-6


class _Posterior:
    """Normal distributions of the op means and of the edges' deviations from them."""

    def __init__(self, alpha: np.ndarray, noise: float):
        alpha = np.asarray(alpha, np.float64)
        alpha = alpha - alpha.mean(axis=1, keepdims=True)
        self._means = alpha.mean(axis=0)
        self._deviations = alpha - self._means
        edges, ops = alpha.shape
        # Centering takes a degree of freedom from each row, and the means another from each column.
        self._of_means = _kept(self._means, ops - 1, noise / edges**0.5)
        spread = self._of_means * np.sum(self._means**2) / max(1, ops - 1)
        least = spread / (spread + noise**2) if spread else 0.0
        found = _kept(self._deviations, (ops - 1) * (edges - 1), noise)
        self._of_deviations = max(least, found)
        self._noise_of_means, self._noise = noise / edges**0.5, noise

    @property
    def mean(self) -> np.ndarray:
        return self._of_means * self._means + self._of_deviations * self._deviations

    def draw(self, random: np.random.Generator) -> np.ndarray:
        means = self._of_means**0.5 * self._noise_of_means * random.normal(size=self._means.shape)
        deviations = self._of_deviations**0.5 * self._noise * random.normal(size=self.mean.shape)
        return self.mean + means + deviations + _TIE * random.normal(size=self.mean.shape)


def _kept(values: np.ndarray, freedom: int, noise: float) -> float:
    """Share of the variance of values around 0 that noise does not explain, 0 to 1."""
    total = np.sum(values**2)
    return float(max(0.0, 1.0 - max(freedom, 0) * noise**2 / total)) if total else 0.0
