"""How a run uses TensorFlow: shares of devices, and settings that are restored."""

import pytest
import tensorflow as tf
from tensorflow.python.framework import config as tf_config

from adl_tf.training.devices import check_devices, deterministic_ops, precision_policy


def test_devices_need_equal_shares_and_no_xla(two_devices):
    one = tf.distribute.get_strategy()
    check_devices(one, 3, jit_compile=True)
    check_devices(two_devices, 8, parts=2)
    with pytest.raises(ValueError, match=r"equally \(2 devices, 1 acc.* a multiple of 2"):
        check_devices(two_devices, 3)
    with pytest.raises(ValueError, match=r"equally \(2 devices, 2 acc.* a multiple of 4"):
        check_devices(two_devices, 6, parts=2)
    with pytest.raises(ValueError, match="jit_compile is not supported with"):
        check_devices(two_devices, 2, jit_compile=True)


def test_precision_is_restored():
    policy = tf.keras.mixed_precision.global_policy
    with pytest.raises(KeyError), precision_policy("mixed_bfloat16"):
        assert policy().compute_dtype == "bfloat16"
        raise KeyError
    assert policy().name == "float32"
    with pytest.raises(ValueError, match="precision 'int8': choose from"), precision_policy("int8"):
        pass


@pytest.mark.parametrize("before", [False, True])
def test_determinism_is_restored(before):
    with deterministic_ops(before):
        for enabled in (False, True):
            with deterministic_ops(enabled):
                assert tf_config.is_op_determinism_enabled() == (enabled or before)
            assert tf_config.is_op_determinism_enabled() == before
    assert not tf_config.is_op_determinism_enabled()
