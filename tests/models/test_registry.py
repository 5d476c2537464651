"""Networks saved in a model directory and loaded from it."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf

from adl_tf.model_directory import FORMAT
from adl_tf.models.registry import (
    NetworkDescription,
    build_network,
    read_network_description,
    write_network_description,
)
from adl_tf.models.weights import initialize_from, load_network, save_weights
from adl_tf.space.genotype import Genotype

GENOTYPE = Genotype(path=(0, 1), cell=[[[0, "sep_conv_3x3"], [1, "skip_connect"]]])
OTHER = Genotype(path=(0, 1), cell=[[[0, "sep_conv_5x5"], [1, "skip_connect"]]])


def describe(num_classes=3, genotype=GENOTYPE, filters=2):
    return NetworkDescription("decoded", num_classes, genotype, filters)


@pytest.fixture
def run(tmp_path):
    """A model directory, and its network with random statistics too."""
    directory = str(tmp_path / "run")
    tf.io.gfile.makedirs(directory)
    network = build_network(describe())
    random = np.random.default_rng(0)
    for weight in network.weights:
        weight.assign(random.uniform(0.5, 1.5, weight.shape))
    write_network_description(describe(), directory)
    save_weights(network, directory, "best")
    return directory, network


def test_a_saved_network_predicts_the_same(run):
    directory, network = run
    loaded = load_network(directory)
    assert loaded.num_classes == 3
    images = tf.random.stateless_normal([1, 20, 33, 3], [0, 1])
    np.testing.assert_array_equal(loaded(images), network(images))
    assert read_network_description(directory) == describe()


def test_missing_or_mismatched_files_are_named(run, tmp_path):
    directory, _ = run
    with pytest.raises(FileNotFoundError, match=r"last/weights: no such checkpoint"):
        load_network(directory, "last")
    with pytest.raises(FileNotFoundError, match=r"no network.json there"):
        load_network(str(tmp_path))
    for wrong in (describe(num_classes=4), describe(filters=4), describe(genotype=OTHER)):
        write_network_description(wrong, directory)
        with pytest.raises(ValueError, match=r"is of another network than .* describes") as error:
            load_network(directory)
        assert "\n" not in str(error.value)
    path = f"{directory}/network.json"
    with open(path, "w") as file:
        json.dump({"format": FORMAT, "network": "decoded", "num_classes": 3}, file)
    with pytest.raises(ValueError, match="needs a genotype"):
        load_network(directory)
    with open(path, "w") as file:
        json.dump(describe().to_dict(), file)
    with pytest.raises(
        ValueError, match=r"network.json: written by an older .* train again"
    ) as error:
        load_network(directory)
    assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="'resnet' is unknown; choose from"):
        NetworkDescription("resnet", 3)


def test_other_number_of_classes_starts_with_a_new_classifier(run, tmp_path):
    directory, network = run
    fine = build_network(describe(num_classes=7))
    initialize_from(fine, describe(num_classes=7), directory)
    changed = 0
    for value, new in zip(network.weights, fine.weights):
        if value.shape == new.shape:
            np.testing.assert_array_equal(value.numpy(), new.numpy(), err_msg=new.name)
        else:
            changed += 1
            assert (value.shape[-1], new.shape[-1]) == (3, 7)
    assert changed == 2  # Kernel and bias of the classifier.
    same = build_network(describe())
    initialize_from(same, describe(), directory)
    for value, new in zip(network.weights, same.weights):
        np.testing.assert_array_equal(value.numpy(), new.numpy(), err_msg=new.name)
    # A baseline has no filter multiplier, whatever the configuration says.
    baseline = NetworkDescription("deeplab_v3_plus_resnet50", 3, filter_multiplier=8, width=0.125)
    folder = str(tmp_path / "baseline")
    os.mkdir(folder)
    write_network_description(baseline, folder)
    first, second = build_network(baseline), build_network(baseline)
    save_weights(first, folder, "best")
    initialize_from(second, baseline, folder)
    np.testing.assert_array_equal(first.weights[0], second.weights[0])
    for wrong in (describe(genotype=OTHER), describe(filters=4)):
        with pytest.raises(ValueError, match="weights of another network"):
            initialize_from(build_network(wrong), wrong, directory)
