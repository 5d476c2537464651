"""Rates that no network survives: nothing that is not finite is saved, and a lower rate goes on."""

import os

import commands
import forked
import numpy as np
import pytest
import tensorflow as tf


def saved(model_dir):
    """(checkpoint and variable, value) of everything in a directory."""
    for folder, _, names in os.walk(model_dir):
        for name in names:
            if name.endswith(".index"):
                path = os.path.join(folder, name[: -len(".index")])
                reader = tf.train.load_checkpoint(path)
                for variable, kind in reader.get_variable_to_dtype_map().items():
                    if kind.is_floating:
                        yield f"{path} {variable}", reader.get_tensor(variable)


def assert_finite(model_dir):
    values = list(saved(model_dir))
    for name, value in values:
        assert np.isfinite(value).all(), name
    return len(values)


@pytest.mark.parametrize(
    "program, rate",
    [
        ("train", "training_optimizer.initial_rate"),
        pytest.param("search", "weight_optimizer.initial_rate", marks=pytest.mark.whole),
    ],
)
def test_a_lower_rate_goes_on(program, rate, streets, tmp_path, count):
    module = "adl_tf.train" if program == "train" else "adl_tf.search"
    model_dir, command = str(tmp_path), getattr(commands, program)
    diverged = forked.run(module, command(streets, model_dir, f"{rate} = 1e30"))
    assert rate in diverged.error, diverged.error
    assert_finite(model_dir)
    lower = forked.run(module, command(streets, model_dir, f"{rate} = 0.001"))
    assert lower.status == 0, lower.stderr[-3000:]
    assert assert_finite(model_dir)
    count("divergences", 1)
