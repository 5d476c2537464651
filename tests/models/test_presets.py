"""Networks that come with the package: as good as what they were made of, by name."""

import dataclasses
import os

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from adl_tf.models import presets
from adl_tf.models.registry import NetworkDescription, build_network, write_network_description
from adl_tf.models.weights import initialize_from, load_network, save_compact_weights
from adl_tf.runs.network import RunNetwork
from adl_tf.serving.prediction import load_preset, predict_images
from adl_tf.space.genotype import Genotype

DESCRIPTION = NetworkDescription(
    "decoded", 3, Genotype(path=(0, 1), cell=[[[0, "sep_conv_3x3"], [1, "skip_connect"]]]), 2
)
IMAGES = tf.random.stateless_normal([1, 20, 33, 3], [0, 1])


@pytest.fixture
def network(tmp_path, monkeypatch):
    """The network of the only preset, "tiny"."""
    monkeypatch.setattr(presets, "FOLDER", str(tmp_path / "presets"))
    directory = tmp_path / "presets" / "tiny"
    directory.mkdir(parents=True)
    network = build_network(DESCRIPTION)
    random = np.random.default_rng(0)
    for weight in network.weights:
        weight.assign(random.uniform(0.5, 1.5, weight.shape))
    write_network_description(DESCRIPTION, str(directory))
    save_compact_weights(network, str(directory))
    return network


def test_weights_are_those_saved_rounded(network):
    assert presets.preset_names() == ("tiny",)
    loaded = load_network(presets.preset_dir("tiny"))
    for found, expected in zip(loaded.weights, network.weights):
        np.testing.assert_allclose(found, expected, rtol=2**-11)
    for weight in network.weights:
        weight.assign(tf.cast(tf.cast(weight, tf.float16), tf.float32))
    np.testing.assert_allclose(loaded(IMAGES), network(IMAGES), rtol=1e-5, atol=1e-5)


def test_a_training_starts_from_one(network):
    started = build_network(DESCRIPTION)
    initialize_from(started, DESCRIPTION, presets.find_model_dir("tiny"))
    np.testing.assert_allclose(started.weights[0], network.weights[0], rtol=2**-11)


def test_a_training_without_a_genotype_is_of_the_same_network(network):
    run_network = RunNetwork(init_from="tiny", filter_multiplier=7)
    description = run_network.describe(num_classes=5)
    assert description == dataclasses.replace(DESCRIPTION, num_classes=5)
    built = run_network.build(description, resumed=False)
    np.testing.assert_allclose(built.weights[0], network.weights[0], rtol=2**-11)


def test_it_predicts(network, tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (20, 33, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    result = predict_images(
        load_preset("tiny"), str(tmp_path / "out"), [str(tmp_path / "photo.png")]
    )
    assert result["images"] == 1 and result["preset"] == "tiny"
    labels = np.array(Image.open(tmp_path / "out" / "labels" / "photo.png"))
    logits = load_network(presets.preset_dir("tiny"))(pixels[None] / 127.5 - 1.0)
    assert (labels == np.argmax(logits[0], -1)).mean() > 0.99


def test_directories_go_before_presets(network, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert presets.find_model_dir("elsewhere") == "elsewhere"
    os.mkdir("tiny")
    assert presets.find_model_dir("tiny") == "tiny"


def test_bad_ones(network):
    with pytest.raises(ValueError, match="preset 'huge' is unknown; there are: tiny"):
        presets.preset_dir("huge")
    directory = presets.preset_dir("tiny")
    path = os.path.join(directory, "weights.npz")
    with open(path, "rb") as file:
        content = file.read()
    for damaged in (content[: len(content) // 2], b"", b"garbage"):
        with open(path, "wb") as file:
            file.write(damaged)
        with pytest.raises(ValueError, match="weights.npz: damaged"):
            load_network(directory)


def test_values_too_large_for_float16_are_kept(network):
    large = tf.fill(network.weights[0].shape, 1e6)
    network.weights[0].assign(large)
    save_compact_weights(network, presets.preset_dir("tiny"))
    np.testing.assert_array_equal(load_network(presets.preset_dir("tiny")).weights[0], large)
