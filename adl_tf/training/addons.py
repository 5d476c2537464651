"""The only place that imports tensorflow-addons, which ends with TensorFlow 2.15."""

import warnings

with warnings.catch_warnings():
    # On import, the package warns of its end of life; it is pinned.
    warnings.filterwarnings("ignore", message=r"\s*TensorFlow Addons", category=UserWarning)
    try:
        from tensorflow_addons.optimizers import MovingAverage
    except ImportError:
        from adl_tf.training.moving_average import MovingAverage

__all__ = ["MovingAverage"]
