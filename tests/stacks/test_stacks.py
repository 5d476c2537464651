"""What one stack has written is read by the other: files of both are read by each."""

import os

import numpy as np
import pytest
import tensorflow as tf
from make import GENOTYPE, STEPS, make_image, make_training, train

import adl_tf
from adl_tf.serving.versions import find_export

FOLDER = os.path.dirname(os.path.abspath(__file__))
STACKS = ("classic", "current")


@pytest.fixture(params=STACKS)
def folder(request):
    return os.path.join(FOLDER, request.param)


def test_genotypes(folder):
    assert adl_tf.load_genotype(os.path.join(folder, "genotype.json")) == GENOTYPE


def test_networks(folder):
    network = adl_tf.load_network(os.path.join(folder, "network"))
    logits = network(adl_tf.normalize(make_image()), training=False)
    expected = np.load(os.path.join(folder, "logits.npy"))
    np.testing.assert_allclose(logits, expected, atol=1e-4)


def test_exports(folder):
    loaded = tf.saved_model.load(find_export(os.path.join(folder, "export")))
    labels = loaded.signatures["serving_tensor"](images=tf.constant(make_image()))["labels"]
    expected = np.load(os.path.join(folder, "logits.npy")).argmax(-1)
    assert np.mean(labels.numpy() == expected) > 0.99


def test_trainings_go_on(folder):
    """Weights, averages, momenta and the step: two more steps end where the other stack did."""
    network = adl_tf.load_network(os.path.join(folder, "network"))
    for variable in network.trainable_variables:
        variable.assign(tf.zeros_like(variable))
    model, batch = make_training(network)
    checkpoint = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
    checkpoint.read(os.path.join(folder, "training")).assert_consumed()
    assert int(model.optimizer.iterations) == STEPS
    train(model, batch, 2)
    expected = np.load(os.path.join(folder, "trained_on.npz"))
    for variable, name in zip(network.trainable_variables, expected.files):
        np.testing.assert_allclose(variable.numpy(), expected[name], rtol=1e-3, atol=1e-4)
