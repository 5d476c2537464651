"""The network of a genotype: its ops and cells, any genotype, any image."""

import numpy as np
import pytest
import tensorflow as tf

from adl_tf.layers.cell import Cell, CellOp
from adl_tf.layers.conv_norm import ConvNorm
from adl_tf.models.auto_deeplab import DecodedBackbone, DecodedNetwork
from adl_tf.models.decoder import Decoder
from adl_tf.models.keras_cv_import import keras_cv
from adl_tf.space.genotype import KNOWN_PATHS, PRESETS, Genotype
from adl_tf.space.ops import OPS

PAPER = PRESETS["auto_deeplab"]
# Every op on a cell input and inside, on a path that goes up and down.
ALL_OPS = Genotype(
    path=(0, 1, 2, 1, 0),
    cell=[
        [[0, "sep_conv_3x3"], [1, "sep_conv_5x5"]],
        [[0, "atrous_conv_3x3"], [1, "atrous_conv_5x5"]],
        [[0, "max_pool_3x3"], [1, "avg_pool_3x3"]],
        [[0, "skip_connect"], [1, "skip_connect"]],
        [[2, "skip_connect"], [3, "max_pool_3x3"]],
        [[0, "none"], [4, "none"]],
    ],
)


@pytest.fixture(scope="module")
def network():
    tf.keras.utils.set_random_seed(0)
    return DecodedNetwork(ALL_OPS, 4, 3)


@pytest.mark.parametrize("size", [(33, 65), (32, 64), (35, 50), (7, 5), (1, 1)])
def test_any_image_size(network, size):
    images = tf.random.stateless_normal([2, *size, 3], [1, 2])
    logits = network(images)
    assert logits.shape == (2, *size, 3)
    assert logits.dtype == tf.float32
    assert np.isfinite(logits).all()
    # One graph for all sizes gives the same numbers.
    dynamic = tf.function(network, input_signature=[tf.TensorSpec([None, None, None, 3])])
    np.testing.assert_allclose(dynamic(images), logits, rtol=1e-4, atol=1e-5)


def test_every_weight_gets_a_gradient(network):
    images = tf.random.stateless_normal([2, 33, 33, 3], [1, 2])
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(network(images, training=True) ** 2)
    for variable, gradient in zip(
        network.trainable_variables, tape.gradient(loss, network.trainable_variables)
    ):
        assert gradient is not None, variable.name


@pytest.mark.parametrize("path", KNOWN_PATHS.values(), ids=KNOWN_PATHS)
def test_known_networks_build(path):
    genotype = Genotype(path=path, cell=[[[0, "skip_connect"], [1, "skip_connect"]]])
    backbone = DecodedBackbone(genotype, 2)
    assert backbone(tf.zeros([1, 65, 33, 3])).shape[1:3] == (
        -(-65 // (4 * 2 ** path[-1])),
        -(-33 // (4 * 2 ** path[-1])),
    )
    fine = [layer for layer in range(3) if path[layer] == 0]
    assert backbone.low_level_layer == f"cell_{fine[-1] + 1}_stride_4"


def test_backbone_names_its_pyramid_and_fits_keras_cv():
    backbone = DecodedBackbone(PAPER, 2)
    assert backbone.pyramid_level_inputs == {
        "P2": "cell_3_stride_4",
        "P3": "cell_12_stride_8",
        "P4": "cell_11_stride_16",
        "P5": "cell_10_stride_32",
    }
    assert backbone.low_level_layer == "cell_3_stride_4"
    task = keras_cv.models.DeepLabV3Plus(backbone=backbone, num_classes=5)
    assert task(tf.zeros([1, 64, 96, 3])).shape == (1, 64, 96, 5)


def test_network_comes_back_from_its_config():
    network = DecodedNetwork(ALL_OPS, 2, 4)
    again = DecodedNetwork.from_config(network.get_config())
    assert [v.shape for v in again.weights] == [v.shape for v in network.weights]
    backbone = DecodedBackbone.from_config(network.backbone.get_config())
    assert backbone.genotype == ALL_OPS
    for layer in (
        Cell(ALL_OPS.cell, 4, "down"),
        CellOp("sep_conv_3x3", 4, 2),
        ConvNorm(4, 3, rate=2),
    ):
        assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()


def normalized(x):
    """What a new batch norm makes of x in inference."""
    return x / np.sqrt(1 + 1e-3)


def every_second(x):
    return x[:, ::2, ::2]


def plain_op(layer, x):
    """A `CellOp` in inference, as textbook ops on its weights.

    A convolution of stride 2 is one of stride 1 of which every second pixel is kept.
    """
    op, stride = layer.op.name, layer.stride
    if op == "none":
        return 0.0
    if "pool" in op:
        kind = "MAX" if op.startswith("max") else "AVG"
        return tf.nn.pool(x, [3, 3], kind, [stride] * 2, "SAME")
    if op == "skip_connect" and stride == 1:
        return x
    for index, convolution in enumerate(layer.convolutions):
        x = tf.nn.relu(x)
        kernel = convolution.kernel
        if op.startswith("sep"):
            # A separable convolution is a full one with the product of its kernels.
            kernel = convolution.depthwise_kernel * convolution.kernel[0, 0]
        if op.startswith("atrous") and stride == 1:
            # Holes by hand.
            side = kernel.shape[0]
            holes = np.zeros([2 * side - 1, 2 * side - 1, *kernel.shape[2:]], np.float32)
            holes[::2, ::2] = kernel
            kernel = holes
        if op.startswith("atrous") and stride == 2:
            size = [-(-side // 2) for side in x.shape[1:3]]
            x = tf.compat.v1.image.resize_bilinear(x, size, align_corners=True)
        x = tf.nn.conv2d(x, kernel, 1, "SAME")
        if stride == 2 and index == 0 and not op.startswith("atrous"):
            x = every_second(x)
        x = normalized(x)
    return x


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("op", OPS)
def test_ops_against_textbook_ones(op, stride):
    x = tf.random.stateless_normal([2, 9, 12, 4], [3, 4])
    layer = CellOp(op, 4, stride)
    result = layer(x)
    if op == "none":
        assert result is None
        return
    np.testing.assert_allclose(result, plain_op(layer, x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("move, size", [("stay", (9, 8)), ("down", (5, 4)), ("up", (17, 15))])
def test_cell_against_a_plain_one(move, size):
    previous = tf.random.stateless_normal([1, 9, 8, 6], [1, 1])
    earlier = tf.random.stateless_normal([1, 5, 4, 3], [1, 2])
    cell = Cell(ALL_OPS.cell, 4, move)
    result = cell((previous, earlier), size_like=tf.zeros([1, *size, 1]))

    resize = tf.compat.v1.image.resize_bilinear
    if move == "up":
        previous = resize(previous, size, align_corners=True)
    earlier = resize(earlier, previous.shape[1:3], align_corners=True)
    states = [
        normalized(tf.nn.conv2d(tf.nn.relu(x), layer.kernel, 1, "SAME"))
        for x, layer in zip((previous, earlier), cell.preprocess)
    ]
    ops = iter(cell.ops)
    for block in ALL_OPS.cell:
        outputs = [plain_op(next(ops), states[source]) for source, _ in block]
        states.append(outputs[0] + outputs[1] + tf.zeros([1, *size, 4]))
    np.testing.assert_allclose(result, tf.concat(states[2:], -1), rtol=1e-4, atol=1e-5)


def test_dropped_paths():
    """A dropped path is zero for its example; the kept ones grow, so that the mean stays."""
    cell = Cell([[[0, "max_pool_3x3"], [0, "none"]]], 2, "stay")
    x = tf.random.stateless_normal([400, 1, 1, 2], [5, 6])
    cell((x, x))
    whole = np.asarray(cell((x, x), training=True))
    cell.drop.schedule.assign([0.25, 7])
    dropped = np.asarray(cell((x, x), training=True))
    kept = np.abs(dropped).sum((1, 2, 3)) > 0
    assert 0.65 < kept.mean() < 0.85
    np.testing.assert_allclose(dropped[kept], whole[kept] / 0.75, rtol=1e-4, atol=1e-5)
    # The same step drops the same; another step drops others; inference none.
    np.testing.assert_array_equal(dropped, cell((x, x), training=True))
    cell.drop.schedule.assign([0.25, 8])
    assert (kept != (np.abs(cell((x, x), training=True)).sum((1, 2, 3)) > 0)).any()
    inference = np.asarray(cell((x, x)))
    assert (np.abs(inference).sum((1, 2, 3)) > 0).sum() >= (np.abs(whole).sum((1, 2, 3)) > 0).sum()


def test_skip_connections_are_not_dropped():
    cell = Cell([[[0, "skip_connect"], [0, "none"]]], 2, "stay")
    x = tf.random.stateless_normal([50, 1, 1, 2], [5, 6])
    cell((x, x))
    whole = np.asarray(cell((x, x), training=True))
    cell.drop.schedule.assign([0.9, 7])
    np.testing.assert_array_equal(cell((x, x), training=True), whole)


def test_decoder_reads_low_level_features_without_a_relu():
    """What a relu would hide must reach the logits."""
    decoder = Decoder(2)
    coarse, fine = tf.zeros([1, 3, 3, 4]), -tf.ones([1, 5, 5, 4])
    decoder((coarse, fine))
    decoder.projection.kernel.assign(-tf.ones_like(decoder.projection.kernel))
    assert np.abs(decoder((coarse, fine)) - decoder((coarse, 0 * fine))).max() > 0
    epsilons = {layer.epsilon for layer in decoder.submodules if hasattr(layer, "epsilon")}
    assert epsilons == {1e-5}


def test_initial_kernels_are_the_references(network):
    """Uniform within sqrt(1 / inputs) in the encoder, Glorot's in the head."""
    for layer in network.submodules:
        if isinstance(layer, ConvNorm):
            kernel = layer.kernel.numpy()
            side, _, inputs, outputs = kernel.shape
            in_head = layer.relu == "after"
            fan = (inputs + outputs) / 6 if in_head else inputs
            bound = np.sqrt(1 / (side * side * fan))
            assert 0.5 * bound < np.abs(kernel).max() <= bound, layer.name
    classifier = network.get_layer("decoder").classifier
    assert 0.006 < classifier.kernel.numpy().std() < 0.012
    assert np.abs(classifier.kernel).max() <= 0.02
