"""Scores inside a supernet: of single genotypes, and without single ops and moves."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from adl_tf.model_directory import SPACE_FILE, write_versioned
from adl_tf.models.supernet import Supernet
from adl_tf.runs.supernet_scores import (
    Strengths,
    SupernetScores,
    measure_strengths,
    one_hot_logits,
)
from adl_tf.space.decoding import decode
from adl_tf.space.genotype import Genotype
from adl_tf.space.ops import NONE
from adl_tf.space.sampling import sample_genotype
from adl_tf.space.search_space import SearchSpace

SPACE = SearchSpace(
    num_layers=3,
    num_blocks=2,
    filter_multiplier=2,
    num_levels=2,
    ops=("none", "sep_conv_3x3", "max_pool_3x3"),
    separable_atrous=True,
)
GENOTYPE = Genotype(
    (0, 1, 1),
    [[(0, "sep_conv_3x3"), (1, "max_pool_3x3")], [(2, "sep_conv_3x3"), (0, "max_pool_3x3")]],
)
BATCHES = [
    {
        "image": tf.random.stateless_normal([2, 33, 33, 3], [seed, 0]),
        "label": tf.random.stateless_uniform([2, 33, 33], [seed, 1], 0, 3, tf.int32),
    }
    for seed in range(2)
]


def save_search(directory, alpha, beta):
    supernet = Supernet(SPACE, 3)
    supernet.build((None, 33, 33, 3))
    supernet.alpha.assign(alpha)
    supernet.beta.assign(beta)
    tf.train.CheckpointManager(
        tf.train.Checkpoint(supernet=supernet), str(directory), max_to_keep=1
    ).save()
    write_versioned({**dataclasses.asdict(SPACE), "num_classes": 3}, str(directory / SPACE_FILE))
    return supernet


def test_one_hot_logits_decode_to_the_genotype():
    space = SearchSpace(num_layers=6, num_blocks=3)
    random = np.random.default_rng(0)
    for _ in range(20):
        genotype = sample_genotype(space, random)
        decoded, probability = decode(space, *one_hot_logits(space, genotype))
        assert decoded.path == genotype.path and probability == pytest.approx(1)
        assert [set(block) for block in decoded.cell] == [set(block) for block in genotype.cell]
    with pytest.raises(ValueError, match="has no 'none'"):
        one_hot_logits(SearchSpace(ops=("skip_connect",)), genotype)


def test_scores_and_strengths(tmp_path):
    """In a supernet that has decided already, only what it uses is missed."""
    tf.keras.utils.set_random_seed(0)
    supernet = save_search(tmp_path, *one_hot_logits(SPACE, GENOTYPE))
    scores = SupernetScores(str(tmp_path), BATCHES)
    losses = [
        tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(batch["label"], supernet(batch["image"]))
        )
        for batch in BATCHES
    ]
    assert scores.score().loss == pytest.approx(np.mean(losses), rel=1e-5)
    found, expected = scores.score_genotype(GENOTYPE, False), scores.score()
    assert found.miou == pytest.approx(expected.miou, rel=1e-5)
    assert found.losses == pytest.approx(expected.losses, rel=1e-5)
    other = Genotype((0, 0, 1), GENOTYPE.cell)
    assert scores.score_genotype(other, False).loss != pytest.approx(scores.score().loss, abs=1e-6)
    assert scores.score_genotype(other, True).loss != pytest.approx(
        scores.score_genotype(other, False).loss, abs=1e-6
    )

    # The statistics of the search are those of before.
    assert scores.score().losses == pytest.approx(expected.losses, rel=1e-6)

    strengths = measure_strengths(scores)
    alpha, beta = one_hot_logits(SPACE, GENOTYPE)
    used = (alpha == 0) & (np.array(SPACE.ops) != NONE)
    assert (strengths.ops[~used] == 0).all() and (strengths.ops[used] != 0).any()
    on_path = np.zeros(SPACE.beta_shape, bool)
    on_path[[0, 1], [0, 1], [2, 1]] = True  # Down to stride 8, then stay there.
    assert (strengths.moves[on_path] != 0).all()
    assert (strengths.moves[:, ~SPACE.legal_moves()] == 0).all()
    assert strengths.predict(SPACE, GENOTYPE) == pytest.approx(
        strengths.ops[used].sum() + strengths.moves[on_path].sum()
    )


def test_strengths_decode_to_the_largest():
    random = np.random.default_rng(1)
    strengths = Strengths(
        random.normal(size=SPACE.alpha_shape), random.normal(size=SPACE.beta_shape)
    )
    decoded = strengths.decode(SPACE)
    paths = ((0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1))
    rivals = [strengths.predict(SPACE, Genotype(path, decoded.cell)) for path in paths]
    assert strengths.predict(SPACE, decoded) == pytest.approx(max(rivals))
    for row, (source, block) in enumerate(SPACE.edges):
        if source in dict(decoded.cell[block]):
            assert (
                dict(decoded.cell[block])[source] == SPACE.ops[1 + strengths.ops[row, 1:].argmax()]
            )
