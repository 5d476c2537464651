import numpy as np
import pytest
import tensorflow as tf

from adl_tf.serving.rounding import round_kernel

BFLOAT16 = tf.bfloat16.as_numpy_dtype
DIGITS = {BFLOAT16: 2.0**-8, np.float16: 2.0**-11}


@pytest.mark.parametrize("dtype", DIGITS)
@pytest.mark.parametrize(
    "shape, summed", [((3, 3, 8, 5), (0, 1)), ((5, 5, 7, 1), (0, 1)), ((1, 1, 64, 6), (0, 1, 2))]
)
def test_sums_are_kept(dtype, shape, summed):
    kernel = np.random.default_rng(0).normal(0, 0.1, shape)
    rounded = round_kernel(kernel, dtype)
    assert rounded.dtype == dtype and rounded.shape == shape
    error = rounded.astype(np.float64) - kernel
    # No number moves by more than its own rounding and what the one before passed on.
    assert np.abs(error).max() <= 2 * DIGITS[dtype] * np.abs(kernel).max()
    smallest = np.abs(kernel).min(axis=summed)
    assert np.all(np.abs(error.sum(axis=summed)) <= 3 * DIGITS[dtype] * smallest + 1e-7)
    nearest = kernel.astype(dtype).astype(np.float64) - kernel
    assert np.abs(error.sum(summed)).mean() < 0.2 * np.abs(nearest.sum(summed)).mean()


def test_numbers_that_need_no_rounding_stay():
    kernel = np.random.default_rng(0).normal(0, 1, (3, 3, 4, 4)).astype(BFLOAT16)
    np.testing.assert_array_equal(round_kernel(kernel.astype(np.float32), BFLOAT16), kernel)
