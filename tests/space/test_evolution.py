"""Candidates: legal, new, within the budget, and better where mutants are."""

import numpy as np
import pytest

from adl_tf.space.evolution import evolve, mutate_genotype
from adl_tf.space.sampling import sample_genotype
from adl_tf.space.search_space import SearchSpace

SPACE = SearchSpace(num_layers=5, num_blocks=2)


def distance(a, b):
    """Number of levels, inputs and ops that differ."""
    changed = sum(x != y for x, y in zip(a.path, b.path))
    for one, two in zip(a.cell, b.cell):
        for (source, op), (other_source, other_op) in zip(one, two):
            changed += (source != other_source) + (op != other_op)
    return changed


def test_mutants_differ_in_one_thing():
    random = np.random.default_rng(0)
    kinds = set()
    for _ in range(200):
        genotype = sample_genotype(SPACE, random)
        mutant = mutate_genotype(SPACE, genotype, random)
        SPACE.check_path(mutant.path)
        assert distance(genotype, mutant) == 1
        assert all(len({source for source, _ in block}) == 2 for block in mutant.cell)
        kinds.add(mutant.path != genotype.path)
    assert kinds == {True, False}


def score(genotype):
    ops = [op for block in genotype.cell for _, op in block]
    return ops.count("sep_conv_3x3") + sum(genotype.path)


def test_mutants_of_the_best_are_better_than_random_ones():
    def best(random_share, seed):
        scores = evolve(SPACE, score, np.random.default_rng(seed), 60, random_share=random_share)
        assert len(scores) == 60
        return max(scores.values())

    gains = [best(0.3, seed) - best(1.0, seed) for seed in range(10)]
    assert np.mean(gains) > 0.4


def test_only_allowed_ones_are_scored():
    def even(genotype):
        return sum(genotype.path) % 2 == 0

    scores = evolve(SPACE, score, np.random.default_rng(1), 20, allowed=even)
    assert all(map(even, scores))
    with pytest.raises(ValueError, match="none of 50 genotypes is new and within the budget"):
        evolve(SPACE, score, np.random.default_rng(1), 20, allowed=lambda g: False, attempts=50)
