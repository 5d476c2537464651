"""Every network is restored from every way to save it, completely."""

import re

import numpy as np
import pytest
import tensorflow as tf

from adl_tf.models.auto_deeplab import DecodedBackbone, DecodedNetwork
from adl_tf.models.baselines import RESNETS, DeepLabV3Plus
from adl_tf.models.supernet import Supernet
from adl_tf.space.genotype import Genotype
from adl_tf.space.search_space import SearchSpace

IMAGES = tf.random.stateless_normal([1, 40, 33, 3], [0, 1])
GENOTYPE = Genotype(
    path=(0, 1, 0),
    cell=[
        [[0, "sep_conv_3x3"], [1, "atrous_conv_5x5"]],
        [[1, "max_pool_3x3"], [2, "skip_connect"]],
    ],
)
SPACE = SearchSpace(num_layers=2, num_blocks=2, filter_multiplier=2, num_levels=2)

NETWORKS = {
    "decoded": lambda: DecodedNetwork(GENOTYPE, 2, 3),
    "backbone": lambda: DecodedBackbone(GENOTYPE, 2),
    "supernet": lambda: Supernet(SPACE, 3, name="supernet"),
    "baseline": lambda: DeepLabV3Plus("resnet50", 3, width=0.125),
}


def make_network(name):
    """A network whose variables all differ from what building it would give."""
    network = NETWORKS[name]()
    network(IMAGES)
    names = [variable.name for variable in network.variables]
    assert len(set(names)) == len(names)
    random = np.random.default_rng(0)
    for variable in network.variables:
        variable.assign(random.uniform(0.5, 1.5, variable.shape))
    return network


def short_name(variable):
    """Without the scope of the supernet, which depends on how it was built."""
    return re.sub(r"^supernet(_\d+)?/", "", variable.name)


def check_equal(loaded, network):
    # By name, since a loaded network may list frozen variables in another place.
    values = {short_name(variable): variable.numpy() for variable in loaded.variables}
    assert len(values) == len(loaded.variables) == len(network.variables)
    for variable in network.variables:
        np.testing.assert_array_equal(values[short_name(variable)], variable.numpy())
    np.testing.assert_array_equal(loaded(IMAGES), network(IMAGES))


@pytest.fixture(scope="module", autouse=True)
def shallow_resnet():
    """Two blocks per stack: what is saved has the same structure."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RESNETS, "resnet50", (2, 2, 2, 2))
        yield


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    return request.param, make_network(request.param)


def test_keras_file(network, tmp_path):
    _, network = network
    path = str(tmp_path / "network.keras")
    network.save(path)
    loaded = tf.keras.models.load_model(path)
    assert type(loaded) is type(network)
    check_equal(loaded, network)


def test_weights_file(network, tmp_path):
    name, network = network
    path = str(tmp_path / "network.weights.h5")
    network.save_weights(path)
    loaded = NETWORKS[name]()
    loaded(IMAGES)
    loaded.load_weights(path)
    check_equal(loaded, network)


def test_checkpoint(network, tmp_path):
    name, network = network
    path = tf.train.Checkpoint(network=network).write(str(tmp_path / "weights"))
    loaded = NETWORKS[name]()
    loaded(IMAGES)
    tf.train.Checkpoint(network=loaded).read(path).assert_consumed()
    check_equal(loaded, network)


@pytest.mark.parametrize(
    "network",
    [
        "decoded",
        *(pytest.param(name, marks=pytest.mark.whole) for name in NETWORKS if name != "decoded"),
    ],
    indirect=True,
)
def test_saved_model(network, tmp_path):
    _, network = network
    path = str(tmp_path / "saved")
    network.save(path, save_format="tf")
    check_equal(tf.keras.models.load_model(path), network)
