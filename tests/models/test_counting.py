"""Parameters and Multi-Adds, counted by hand and in the paper's table 2."""

import pytest
import tensorflow as tf

from adl_tf.models.auto_deeplab import DecodedNetwork
from adl_tf.models.baselines import DeepLabV3Plus
from adl_tf.models.counting import count_multi_adds, count_parameters
from adl_tf.models.registry import NetworkDescription, build_network
from adl_tf.models.supernet import Supernet
from adl_tf.space.genotype import PRESETS
from adl_tf.space.search_space import SearchSpace

layers = tf.keras.layers


def total(model, size):
    return sum(count_multi_adds(model, size).values())


@pytest.mark.parametrize(
    "filters, millions, billions",
    [
        (20, "10.15", 333.25),
        pytest.param(32, "21.62", 460.93, marks=pytest.mark.whole),
        pytest.param(48, "44.42", 695.03, marks=pytest.mark.whole),
    ],
)
def test_the_papers_networks(filters, millions, billions):
    """Parameters to all printed digits, Multi-Adds within two percent."""
    network = DecodedNetwork(PRESETS["auto_deeplab"], filters, 19)
    assert f"{count_parameters(network) / 1e6:.2f}" == millions
    assert total(network, (1025, 2049)) / 1e9 == pytest.approx(billions, rel=0.02)


def test_by_hand():
    model = tf.keras.Sequential(
        [
            layers.Conv2D(8, 3, strides=2, padding="same"),  # 5x6 out of 9x11
            layers.DepthwiseConv2D(5, padding="same"),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(7),
        ]
    )
    model.build((None, 9, 11, 3))
    counts = count_multi_adds(model, (9, 11))
    assert list(counts.values()) == [5 * 6 * 9 * 3 * 8, 5 * 6 * 25 * 8, 8 * 7]
    assert "depthwise" in list(counts)[1]
    assert count_parameters(model) == (27 * 8 + 8) + (25 * 8 + 8) + 2 * 8 + (8 * 7 + 7)


def test_atrous_convolutions_count_in_whole_phases():
    class Native(tf.keras.layers.Layer):
        def call(self, x):
            return tf.nn.conv2d(x, tf.zeros([3, 3, 3, 4]), 1, "SAME", dilations=4)

    phases = layers.Conv2D(4, 3, padding="same", dilation_rate=4, use_bias=False)
    for layer in (Native(), phases):
        assert total(tf.keras.Sequential([layer]), (9, 17)) == 12 * 20 * 9 * 3 * 4


def test_functions_count_as_often_as_they_are_called():
    """The supernet calls one function per stride for all its cells."""
    counts = [
        total(make_supernet(layers), (33, 33)) - total(make_supernet(layers - 1), (33, 33))
        for layers in (4, 5)
    ]
    assert counts[0] == counts[1] > 0


def make_supernet(num_layers):
    # Sizes that no other test traces: functions of its cells are shared by the whole process.
    space = SearchSpace(num_layers=num_layers, num_blocks=1, filter_multiplier=7, num_levels=1)
    model = Supernet(space, 2)
    model.build((None, 33, 33, 3))
    return model


def test_baseline():
    model = DeepLabV3Plus("resnet50", 19)
    # ResNet-50's 23.5 million, ASPP and head.
    assert count_parameters(model) / 1e6 == pytest.approx(39.15, abs=0.01)
    assert model(tf.zeros([1, 33, 70, 3])).shape == (1, 33, 70, 19)
    # ResNet-26's 14.0 million, MobileNetV3's 0.9, and small heads.
    for name, millions in (("resnet26", 17.8), ("mobilenet_v3_small", 1.08)):
        small = build_network(NetworkDescription(f"deeplab_v3_plus_{name}", 19))
        assert count_parameters(small) / 1e6 == pytest.approx(millions, rel=0.01)
        assert small(tf.zeros([1, 33, 70, 3])).shape == (1, 33, 70, 19)
    with pytest.raises(ValueError, match="backbone 'resnet34': choose from"):
        DeepLabV3Plus("resnet34", 19)
