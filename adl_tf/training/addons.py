"""The only place that imports tensorflow-addons."""

import warnings

with warnings.catch_warnings():
    # On import, the package warns of its end of life; it is pinned.
    warnings.filterwarnings("ignore", message=r"\s*TensorFlow Addons", category=UserWarning)
    from tensorflow_addons.optimizers import MovingAverage

__all__ = ["MovingAverage"]
