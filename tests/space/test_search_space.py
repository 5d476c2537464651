"""Sizes, masks and paths of the search space against the paper's numbers and by enumeration."""

import itertools

import numpy as np
import pytest

from adl_tf.space.genotype import KNOWN_PATHS, PRESETS
from adl_tf.space.ops import OPS
from adl_tf.space.search_space import (
    MOVE_OFFSETS,
    SearchSpace,
    level_stride,
    num_cells,
    num_edges,
    num_paths,
)


def is_path(path, num_levels):
    """The definition in words: starts at stride 4, the stride halves, stays or doubles."""
    steps = [abs(b - a) for a, b in zip(path, path[1:])]
    return path[0] == 0 and all(0 <= level < num_levels for level in path) and max(steps + [0]) <= 1


def all_paths(num_layers, num_levels):
    paths = itertools.product(range(num_levels), repeat=num_layers)
    return [path for path in paths if is_path(path, num_levels)]


def test_the_papers_numbers():
    space = SearchSpace()
    assert num_edges(5) == len(space.edges) == 20
    assert len(OPS) == len(space.ops) == 8
    assert f"{space.num_cells:.1e}" == "5.6e+14"
    assert space.num_paths == 28657
    assert 0.5e19 < space.num_cells * space.num_paths < 2e19
    assert space.alpha_shape == (20, 8)
    assert space.beta_shape == (11, 4, 3)
    assert space.filter_multiplier == 8


def test_filters_grow_with_the_stride():
    space = SearchSpace()
    assert [level_stride(level) for level in range(4)] == [4, 8, 16, 32]
    assert [space.filters(level) for level in range(4)] == [8, 16, 32, 64]
    assert [space.node_filters(level) for level in range(4)] == [40, 80, 160, 320]
    # Figure 3: the decoded network has the same rule with F = 20.
    assert SearchSpace(filter_multiplier=20).node_filters(1) == 5 * 20 * 2


def test_edges_are_all_earlier_states_of_every_block():
    assert SearchSpace(num_blocks=1).edges == [(0, 0), (1, 0)]
    assert SearchSpace(num_blocks=3).edges == [
        *[(0, 0), (1, 0)],
        *[(0, 1), (1, 1), (2, 1)],
        *[(0, 2), (1, 2), (2, 2), (3, 2)],
    ]


def test_number_of_cells_by_enumeration():
    """Every block chooses two (input, op) pairs independently."""
    for blocks, ops in ((1, 2), (2, 2), (2, 3)):
        branches = [
            list(itertools.product(range(block + 2), range(ops))) for block in range(blocks)
        ]
        cells = itertools.product(*(itertools.product(pairs, pairs) for pairs in branches))
        assert num_cells(blocks, ops) == sum(1 for _ in cells)


@pytest.mark.parametrize("layers, levels", [(1, 1), (1, 4), (5, 1), (4, 2), (6, 3), (6, 4), (5, 6)])
def test_number_of_paths_by_enumeration(layers, levels):
    assert num_paths(layers, levels) == len(all_paths(layers, levels))


def test_check_path_agrees_with_the_definition():
    space = SearchSpace(num_layers=4, num_levels=3)
    for path in itertools.product(range(-1, 4), repeat=4):
        if is_path(path, 3):
            space.check_path(path)
        else:
            with pytest.raises(ValueError):
                space.check_path(path)


def test_the_number_of_nodes_of_the_paper():
    space = SearchSpace()
    assert sum(len(space.levels(layer)) for layer in range(space.num_layers)) == 42
    assert [len(space.levels(layer)) for layer in range(5)] == [1, 2, 3, 4, 4]


def test_predecessors_are_the_legal_moves_into_a_node():
    space = SearchSpace(num_layers=6)
    assert space.predecessors(0, 0) == []
    for layer in range(1, space.num_layers):
        for level in space.levels(layer):
            found = space.predecessors(layer, level)
            assert [source for source, _ in found] == [
                source for source in space.levels(layer - 1) if abs(source - level) <= 1
            ]
            for source, move in found:
                assert source + MOVE_OFFSETS[move] == level


def test_boundary_levels_have_one_move_less():
    assert SearchSpace().legal_moves().sum(axis=1).tolist() == [2, 3, 3, 2]
    assert SearchSpace(num_levels=2).legal_moves().sum(axis=1).tolist() == [2, 2]
    assert SearchSpace(num_levels=1).legal_moves().tolist() == [[False, True, False]]
    # Up from stride 4 and down from stride 32 are the two that do not exist.
    assert np.argwhere(~SearchSpace().legal_moves()).tolist() == [[0, 0], [3, 2]]


def test_known_networks_are_members():
    """Figure 2 of the paper, and figure 3."""
    space = SearchSpace()
    assert set(KNOWN_PATHS) == {"deeplabv3", "conv_deconv", "stacked_hourglass"}
    for path in [*KNOWN_PATHS.values(), PRESETS["auto_deeplab"].path]:
        space.check_path(path)


def test_known_networks_have_the_shape_they_are_known_for():
    deeplab, conv_deconv, hourglass = (
        np.array(KNOWN_PATHS[name]) for name in ("deeplabv3", "conv_deconv", "stacked_hourglass")
    )
    # DeepLabv3 goes down to stride 16 and stays there.
    assert (np.diff(deeplab) >= 0).all() and deeplab[-1] == 2
    # Conv-Deconv goes down to stride 32 once, then up again.
    bottom = conv_deconv.argmax()
    assert conv_deconv[bottom] == 3 and conv_deconv[-1] == 0
    assert (np.diff(conv_deconv[: bottom + 1]) >= 0).all()
    assert (np.diff(conv_deconv[bottom + 1 :]) <= 0).all()
    # Stacked Hourglass does it more than once.
    turns = np.diff(np.sign(np.diff(hourglass)))
    assert np.count_nonzero(turns < 0) >= 2 and np.count_nonzero(turns > 0) >= 1


def test_any_subset_of_ops_in_any_order():
    space = SearchSpace(ops=["sep_conv_3x3", "none"], num_blocks=2)
    assert space.ops == ("sep_conv_3x3", "none")
    assert space.alpha_shape == (5, 2)
    assert space.num_cells == (2 * 2) ** 2 * (3 * 2) ** 2
    assert SearchSpace(ops=("skip_connect",)).alpha_shape == (20, 1)


@pytest.mark.parametrize(
    "fields, message",
    [
        (dict(num_layers=0), "num_layers is 0"),
        (dict(num_blocks=-1), "num_blocks is -1"),
        (dict(filter_multiplier=1.5), "filter_multiplier is 1.5"),
        (dict(num_levels="4"), "num_levels is '4'"),
        (dict(ops=("conv_7x7", "none")), "unknown ops .*conv_7x7"),
        (dict(ops=("skip_connect", "skip_connect")), "twice"),
        (dict(ops=("none",)), "other than 'none'"),
        (dict(ops=()), "other than 'none'"),
    ],
)
def test_impossible_spaces_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        SearchSpace(**fields)


@pytest.mark.parametrize(
    "path, message",
    [
        ((0, 0), "2 layers, the space has 3"),
        ((1, 1, 1), "starts at level 1"),
        ((0, 1, 3), "illegal move from level 1 to 3 at layer 3"),
        ((0, 1, 4), "level 4 at layer 3; legal are 0..3"),
        ((0, -1, 0), "level -1 at layer 2"),
    ],
)
def test_illegal_paths_are_named(path, message):
    with pytest.raises(ValueError, match=message):
        SearchSpace(num_layers=3).check_path(path)
