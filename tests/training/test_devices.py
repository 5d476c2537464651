"""How a run uses TensorFlow: settings that are restored."""

import os
import random

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework import config as tf_config

from adl_tf.configuration import CORES, available_cores
from adl_tf.training.devices import (
    configure_runtime,
    deterministic_ops,
    precision_policy,
    seeded,
)


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


def test_random_numbers_go_on_where_they_were():
    random.seed(7)
    np.random.seed(7)
    with pytest.raises(KeyError), seeded(3):
        inside = random.random(), np.random.rand(), float(tf.random.uniform([]))
        raise KeyError
    assert (random.random(), np.random.rand()) == (
        random.Random(7).random(),
        np.random.RandomState(7).rand(),
    )
    with seeded(3):
        assert (random.random(), np.random.rand(), float(tf.random.uniform([]))) == inside


def test_a_program_that_may_not_use_all_cores_is_told_how_many(monkeypatch):
    monkeypatch.delenv(CORES, raising=False)
    assert available_cores() == len(os.sched_getaffinity(0))
    monkeypatch.setenv(CORES, "3")
    assert available_cores() == 3


def test_threads_that_are_fixed_stay_and_are_reported(capsys):
    tf.ones([]) + 1
    threads = tf.config.threading.get_intra_op_parallelism_threads()
    configure_runtime(intra_op_threads=61)
    assert tf.config.threading.get_intra_op_parallelism_threads() == threads
    (line,) = capsys.readouterr().err.splitlines()
    assert "so its threads are unchanged" in line and "instead of 61" in line
