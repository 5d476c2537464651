"""Random genotypes are legal, repeatable and uniform."""

from collections import Counter

import numpy as np
import pytest

from adl_tf.space.ops import NONE
from adl_tf.space.sampling import sample_genotype
from adl_tf.space.search_space import SearchSpace


def test_legal_and_repeatable():
    space = SearchSpace()
    for seed in range(30):
        genotype = sample_genotype(space, np.random.default_rng(seed))
        assert genotype == sample_genotype(space, np.random.default_rng(seed))
        space.check_path(genotype.path)
        assert len(genotype.cell) == space.num_blocks
        for block in genotype.cell:
            sources, ops = zip(*block)
            assert len(set(sources)) == 2
            assert NONE not in ops


def test_every_path_is_equally_likely():
    space = SearchSpace(num_layers=4, num_levels=3, num_blocks=1)
    random = np.random.default_rng(0)
    draws = 6000
    counts = Counter(sample_genotype(space, random).path for _ in range(draws))
    assert len(counts) == space.num_paths
    expected = draws / space.num_paths
    assert all(count == pytest.approx(expected, abs=5 * expected**0.5) for count in counts.values())


def test_ops_of_the_space_only():
    space = SearchSpace(num_layers=1, num_blocks=2, ops=("none", "skip_connect"))
    genotype = sample_genotype(space, np.random.default_rng(0))
    assert {op for block in genotype.cell for _, op in block} == {"skip_connect"}
