"""Batch norm over all devices: two devices train as one does on the whole batch."""

import numpy as np
import pytest
import tensorflow as tf
from test_training_model import fit, make_batch

from adl_tf.layers.synchronized_norm import synchronize_norms
from adl_tf.models.auto_deeplab import DecodedNetwork
from adl_tf.training.devices import precision_policy
from adl_tf.training.training_model import TrainingModel

GENOTYPE = {"path": (0, 1), "cell": [[(0, "sep_conv_3x3"), (1, "atrous_conv_3x3")]]}


def make_model(synchronized, **options):
    tf.keras.utils.set_random_seed(5)
    network = DecodedNetwork(GENOTYPE, filter_multiplier=2, num_classes=3)
    network.build((None, 33, 33, 3))
    if synchronized:
        synchronize_norms(network)
    model = TrainingModel(network, **options)
    model.compile(tf.keras.optimizers.legacy.SGD(0.05))
    model.build((None, 33, 33, 3))
    return model


def differences(one, two):
    pairs = zip(one.network.variables, two.network.variables)
    return {v.name: np.abs(v.numpy() - w.numpy()).max() for v, w in pairs}


def test_two_devices_make_the_update_of_one_batch(two_devices):
    batch = make_batch(1)
    whole = make_model(synchronized=False)
    fit(whole, batch)
    found = {}
    for synchronized in (True, False):
        with two_devices.scope():
            mirrored = make_model(synchronized)
        fit(mirrored, batch)
        found[synchronized] = differences(whole, mirrored)
    assert max(found[True].values()) < 1e-4, found[True]
    assert max(found[False].values()) > 1e-3


def test_parts_of_a_batch_are_not_supported():
    with pytest.raises(ValueError, match="synchronized_batch_norm is not supported with"):
        make_model(synchronized=True, accumulation_steps=2)


@pytest.mark.parametrize(
    "precision", ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.whole)]
)
def test_moments_of_16_bits_are_of_all_devices(two_devices, precision):
    """Moving statistics as of the whole batch, within the rounding of the features."""
    batch = make_batch(1)
    with precision_policy(precision):
        whole = make_model(synchronized=False)
        fit(whole, batch)
        with two_devices.scope():
            mirrored = make_model(synchronized=True)
        fit(mirrored, batch)
    found = differences(whole, mirrored)
    assert all(np.isfinite(list(found.values()))), found
    assert max(value for name, value in found.items() if "stem" in name) < 1e-2
