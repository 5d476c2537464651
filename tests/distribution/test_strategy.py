"""Which strategy a run gets, and whether its devices can share it."""

import pytest
import tensorflow as tf

from adl_tf.distribution.strategy import check_devices, distribution_strategy


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


def test_kinds(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.delenv("SLURM_STEP_NUM_TASKS", raising=False)
    assert distribution_strategy().num_replicas_in_sync == 1
    assert distribution_strategy("single").num_replicas_in_sync == 1
    devices = ["CPU:0", "CPU:1"]
    for kind in (None, "mirrored"):
        assert distribution_strategy(kind, devices).num_replicas_in_sync == 2
    for arguments, message in (
        (("many",), "kind = 'many': choose from"),
        (("single", devices), "has no meaning for 'single'"),
        (("multi_worker", devices), "has no meaning for 'multi_worker'"),
        (("mirrored", ["TPU:0"]), "there is no 'TPU:0' here"),
        (("multi_worker",), "needs the cluster in the environment"),
    ):
        with pytest.raises(ValueError, match=message):
            distribution_strategy(*arguments)
