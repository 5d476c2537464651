"""Shared weights: what they compute for a genotype, and which of them."""

import numpy as np
import pytest
import tensorflow as tf

from adl_tf.models.auto_deeplab import DecodedNetwork
from adl_tf.models.shared_network import SharedNetwork, recalibrated
from adl_tf.space.fair_sampling import FairSampler
from adl_tf.space.genotype import Genotype
from adl_tf.space.network_sizes import NetworkSizes
from adl_tf.space.search_space import SearchSpace

SPACE = SearchSpace(num_layers=5, num_blocks=2, filter_multiplier=2)
SIZES = NetworkSizes((4, 4, 6), aspp=8, low_level=4, decoder=8)
# Up and down, with every kind of op on cell inputs and inside.
GENOTYPE = Genotype(
    (0, 1, 2, 1, 1),
    [[(0, "sep_conv_3x3"), (1, "skip_connect")], [(2, "atrous_conv_3x3"), (0, "max_pool_3x3")]],
)
IMAGES = tf.random.stateless_normal([2, 33, 47, 3], [1, 2])


def copy_weights(shared, decoded):
    """Layer by layer, both in the order in which they run."""
    targets = [decoded.get_layer("stem")]
    for index, level in enumerate(GENOTYPE.path):
        cell = decoded.get_layer(f"cell_{index + 1}_stride_{4 * 2**level}")
        targets += [*cell.preprocess, *cell.ops]
    targets += [decoded.get_layer("aspp"), decoded.get_layer("decoder")]
    pairs = list(zip(shared.used_layers(), targets))
    assert len(pairs) == len(targets) == len(shared.used_layers())
    for source, target in pairs:
        random = np.random.default_rng(len(target.weights))
        for a, b in zip(source.weights, target.weights):
            assert a.shape == b.shape
            a.assign(a + random.uniform(0, 0.1, a.shape))
            b.assign(a)


@pytest.mark.parametrize("share_edges", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_computes_the_decoded_network(training, share_edges):
    # One op of a kind per cell, so that no two edges share kernels.
    shared = SharedNetwork(SPACE, 3, SIZES, share_edges=share_edges)
    shared.compute(IMAGES, GENOTYPE, training=False)
    decoded = DecodedNetwork(GENOTYPE, 2, 3, SIZES)
    copy_weights(shared, decoded)
    np.testing.assert_allclose(
        shared.compute(IMAGES, GENOTYPE, training=training),
        decoded(IMAGES, training=training),
        rtol=1e-4,
        atol=1e-5,
    )


def test_only_the_layers_of_the_genotype_train():
    shared = SharedNetwork(SPACE, 3, SIZES)
    other = Genotype((0, 0, 0, 0, 1), GENOTYPE.cell)
    for genotype in (other, GENOTYPE):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(shared.compute(IMAGES, genotype, training=True) ** 2)
        used = shared.used_variables()
        assert all(gradient is not None for gradient in tape.gradient(loss, used))
    assert len(used) < len(shared.trainable_variables)


def test_edges_share_kernels_but_not_batch_norms():
    def layers(share_edges):
        network = SharedNetwork(SPACE, 3, SIZES, share_edges=share_edges)
        for sources in ((0, 1), (1, 2)):
            cell = [GENOTYPE.cell[0], [(source, "sep_conv_3x3") for source in sources]]
            network.prepare(Genotype((0,) * 5, cell))
        found = [
            network.shared[f"layer_2_level_0_edge_{s}_1_sep_conv_3x3_stride_1"] for s in (0, 2)
        ]
        return [layer.convolutions[0] for layer in found]

    one, two = layers(True)
    assert one.kernel is two.kernel and one.depthwise_kernel is two.depthwise_kernel
    assert one.norm.gamma is not two.norm.gamma
    one, two = layers(False)
    assert one.kernel is not two.kernel


def test_recalibrated_statistics_are_the_means_over_the_batches():
    shared = SharedNetwork(SPACE, 3, SIZES)
    shared.compute(IMAGES, GENOTYPE, training=False)
    norm = shared.stem.convolutions[0].norm
    before = norm.moving_mean.numpy()
    batches = [IMAGES, IMAGES + 1, 3 * IMAGES]
    with recalibrated(shared, GENOTYPE, batches):
        kernel = shared.stem.convolutions[0].kernel
        means = [
            tf.reduce_mean(tf.nn.conv2d(x, kernel, 2, [[0, 0], [1, 1], [1, 1], [0, 0]]), [0, 1, 2])
            for x in batches
        ]
        np.testing.assert_allclose(norm.moving_mean, np.mean(means, 0), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(norm.moving_mean, before)


def test_draws_are_legal_repeatable_and_fair():
    sampler, again = FairSampler(SPACE, 3), FairSampler(SPACE, 3)
    counts = {edge: dict.fromkeys(SPACE.ops[1:], 0) for edge in SPACE.edges}
    for _ in range(200):
        genotype = sampler.draw()
        assert genotype == again.draw()
        SPACE.check_path(genotype.path)
        for block, branches in enumerate(genotype.cell):
            assert len({source for source, _ in branches}) == 2
            for source, op in branches:
                counts[source, block][op] += 1
    for edge in counts.values():
        assert max(edge.values()) - min(edge.values()) <= 1
