"""Rounding kernels to fewer digits while keeping a convolution's mean output."""

import numpy as np


def round_kernel(kernel: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Rounds a convolution's kernel, passing each rounding error on to the next smaller number.

    Features behind a relu are positive and smooth: rounding errors that add up to a sum other
    than zero shift whole feature maps, while errors of both signs average out. Sums are kept
    over the taps of each input channel, or over the input channels of a 1x1 kernel, as
    exactly as the smallest number in the sum allows.

    Args:
      kernel: floats [k, k, C, K]; of a depthwise convolution [k, k, C, 1].
      dtype: to round to, of any number of digits.

    Returns:
      the kernel in that dtype.
    """
    height, width, channels, _ = kernel.shape
    terms = height * width if height * width > 1 else channels
    sums = kernel.reshape(terms, -1).astype(np.float64)
    largest_first = np.argsort(-np.abs(sums), axis=0, kind="stable")
    ordered = np.take_along_axis(sums, largest_first, axis=0)
    rounded = np.empty_like(ordered, dtype)
    lost = np.zeros_like(ordered[0])
    for place, values in enumerate(ordered):
        wanted = values + lost
        rounded[place] = wanted.astype(dtype)
        lost = wanted - rounded[place].astype(np.float64)
    result = np.empty_like(rounded)
    np.put_along_axis(result, largest_first, rounded, axis=0)
    return result.reshape(kernel.shape)
