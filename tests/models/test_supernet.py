"""The whole supernet against the plain per-edge reference network."""

import collections
import itertools

import numpy as np
import pytest
import tensorflow as tf
from reference import (
    BatchNorm,
    assert_close,
    gates,
    network,
    randomize_moving_statistics,
    relative_error,
)

from adl_tf.layers.convolution import BATCH_NORM_MOMENTUM
from adl_tf.layers.shared_function import GradientsFor
from adl_tf.models.supernet import GATES, Supernet, node_name
from adl_tf.space import ops as candidate_ops
from adl_tf.space import search_space
from adl_tf.space.decoding import decode
from adl_tf.space.ops import ATROUS, AVERAGE_POOL, MAX_POOL, SEPARABLE, Op
from adl_tf.space.search_space import SearchSpace

CLASSES = 5
SMALL = dict(num_layers=3, num_blocks=2, filter_multiplier=4, num_levels=3)
TINY = dict(
    num_layers=2,
    num_blocks=1,
    filter_multiplier=2,
    num_levels=2,
    ops=("none", "skip_connect", "max_pool_3x3", "sep_conv_3x3"),
)


# Arguments of the supernet; the others are the space's.
OWN = ("separable_atrous", "gates", "auxiliary_skip")


def images_of(size, batch=2):
    return tf.random.stateless_normal([batch, *size, 3], [0, 1])


def make_model(size=(33, 33), batch=2, **fields):
    """A model with an architecture far from uniform and statistics far from initial."""
    tf.keras.utils.set_random_seed(0)
    own = {name: fields.pop(name) for name in OWN if name in fields}
    model = Supernet(SearchSpace(**fields), CLASSES, **own)
    model.build((batch, *size, 3))
    for seed, variable in enumerate(model.architecture_variables):
        variable.assign(tf.random.stateless_normal(variable.shape, [1, seed]))
    randomize_moving_statistics(model)
    return model


@pytest.fixture(scope="module")
def tiny():
    return make_model(**TINY)


def run(model, function):
    """Logits, and gradients of their product with a fixed random tensor, by variable's name."""
    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        logits = function()
        loss = tf.reduce_mean(logits * tf.random.stateless_normal(logits.shape, [2, 3]))
    names = [f"{i} {variable.name}" for i, variable in enumerate(variables)]
    return logits, dict(zip(names, tape.gradient(loss, variables)))


def check(model, images, training, tolerance=1e-4):
    """Logits match the reference, and all gradients do within a tolerance."""
    before = model.get_weights()
    logits, expected = run(model, lambda: network(model, images, BatchNorm(training)))
    # The stem and the heads are the same layers: undo what they did to their statistics.
    model.set_weights(before)
    fast, gradients = run(model, lambda: model(images, training=training))
    model.set_weights(before)
    assert_close([fast], [logits], ["logits"])
    assert_close(gradients.values(), expected.values(), list(gradients), tolerance)
    return gradients


@pytest.mark.parametrize(
    "size, fields",
    [
        pytest.param(
            (33, 33),
            dict(SMALL, num_layers=4, separable_atrous=True),
            marks=pytest.mark.whole,
        ),
        pytest.param(
            (32, 48),
            dict(SMALL, separable_atrous=False),
            marks=pytest.mark.whole,
        ),
        ((37, 50), dict(SMALL, num_layers=2, separable_atrous=True)),
        (
            (37, 50),
            dict(SMALL, ops=TINY["ops"], gates="paper", auxiliary_skip=0.0),
        ),
        pytest.param(
            (35, 34),
            dict(SMALL, num_layers=2, num_blocks=3, num_levels=4, separable_atrous=False),
            marks=pytest.mark.whole,
        ),
    ],
    ids=["odd-separable", "even-full", "mixed-separable", "papers-gates", "mixed-full"],
)
def test_matches_the_reference(size, fields):
    model = make_model(size, **fields)
    images = images_of(size)
    for training in (True, False):
        gradients = check(model, images, training)
        assert all(gradient is not None for gradient in gradients.values())
        assert model(images, training=training).shape == (2, *size, CLASSES)


@pytest.mark.parametrize(
    "fields",
    [
        dict(SMALL, num_levels=1, ops=("sep_conv_3x3", "skip_connect", "none")),
        dict(TINY, num_layers=1),
        dict(TINY, num_layers=1, num_levels=1),
        # More strides than the paper's four.
        pytest.param(dict(TINY, num_layers=5, num_levels=5), marks=pytest.mark.whole),
    ],
    ids=["one-level", "one-layer", "one-node", "five-levels"],
)
def test_spaces_at_the_limits(fields):
    # Large enough for three pixels at stride 64; statistics of a few pixels amplify rounding. Of so
    # many values some are within rounding of a relu's kink: images changed by 1e-7 of their values
    # change the reference's own gradients by up to 4e-3.
    five = fields["num_levels"] == 5
    size, batch, tolerance = ((129, 130), 8, 0.02) if five else ((17, 20), 2, 1e-4)
    model = make_model(size, batch, **fields)
    check(model, images_of(size, batch), training=True, tolerance=tolerance)


@pytest.mark.parametrize("separable_atrous", [True, False], ids=["separable", "full"])
def test_further_kernel_sizes(separable_atrous, monkeypatch):
    """Entries of the table of ops are all that they need."""
    further = (
        Op("sep_conv_7x7", SEPARABLE, 7, "sep 7x7", "#000000"),
        Op("atrous_conv_7x7", ATROUS, 7, "atr 7x7", "#000000"),
        Op("max_pool_5x5", MAX_POOL, 5, "max 5x5", "#000000"),
        Op("avg_pool_5x5", AVERAGE_POOL, 5, "avg 5x5", "#000000"),
    )
    table = candidate_ops.TABLE + further
    monkeypatch.setattr(candidate_ops, "TABLE", table)
    monkeypatch.setattr(candidate_ops, "_BY_NAME", {op.name: op for op in table})
    monkeypatch.setattr(search_space, "OPS", tuple(op.name for op in table))
    fields = dict(num_layers=2, num_blocks=2, filter_multiplier=2, num_levels=2)
    names = [op.name for op in further] + ["sep_conv_3x3", "atrous_conv_5x5", "avg_pool_3x3"]
    ops = ("skip_connect", *names, "none")
    model = make_model((37, 50), separable_atrous=separable_atrous, ops=ops, **fields)
    kernels = model.nodes["layer_1_stride_4"].mixed_op.kernels
    assert kernels["sep_conv_first_depthwise"].shape[:2] == (7, 7)
    check(model, images_of((37, 50)), training=True)


@pytest.mark.parametrize("size", [(33, 33), (8, 20), (3, 5)])
def test_images_of_a_few_pixels_at_the_coarsest_stride(size):
    """33x33 has 2x2 pixels at stride 32, the others one or two."""
    model = make_model(size, batch=3, **dict(SMALL, num_layers=4, num_levels=4, num_blocks=1))
    images = images_of(size, batch=3)
    expected = network(model, images, BatchNorm(training=False))
    assert_close([model(images, training=False)], [expected])


def test_beta_of_every_move_learns_only_with_normalized_gates():
    """Of the paper's gates only the ratio of those into a node acts, since what reads the node
    normalizes it: the first moves, each the only one into its node, have no gradient."""
    # Without separable convolutions, so that it is quick.
    ops = ("none", "skip_connect", "max_pool_3x3", "avg_pool_3x3")
    images = images_of((65, 65), batch=4)
    sizes = {}
    for kind in GATES:
        model = make_model((65, 65), 4, **dict(SMALL, num_layers=4, ops=ops, gates=kind))
        model.beta.assign(0.1 * model.beta)
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            loss = tf.reduce_mean(logits * tf.random.stateless_normal(logits.shape, [2, 3]))
        alpha, beta = (g.numpy() for g in tape.gradient(loss, model.architecture_variables))
        assert (alpha != 0).all() and np.isfinite(beta).all()
        legal = model.space.legal_moves()
        for layer in range(3):
            for level in range(3):
                reachable = level in model.space.levels(layer)
                assert ((beta[layer, level] != 0) == (legal[level] & reachable)).all()
        sizes[kind] = np.abs(beta).max(axis=(1, 2))
    assert sizes["paper"][0] < 0.01 * sizes["paper"].max()
    assert sizes["normalized"][0] > 0.2 * sizes["normalized"].max()


def test_normalized_gates_are_shares_of_the_paths():
    """Against all paths, one by one."""
    model = make_model(**dict(TINY, num_layers=4, num_levels=3))
    space, relaxed = model.space, model.architecture()
    moves = relaxed.move_probabilities
    chances = collections.Counter()
    for path in itertools.product(range(3), repeat=4):
        steps = list(zip(path, path[1:]))
        if path[0] == 0 and all(abs(a - b) <= 1 for a, b in steps):
            chance = np.prod([moves[i, a, b - a + 1] for i, (a, b) in enumerate(steps)])
            for layer, level in enumerate(path):
                chances[layer, level] += chance
            for layer, (a, b) in enumerate(steps):
                chances[layer, a, b] += chance
    found, visits = model.gates_and_visits()
    np.testing.assert_allclose(visits, [chances[3, level] for level in range(3)], rtol=1e-5)
    np.testing.assert_allclose(visits, relaxed.visits[-1], rtol=1e-5)
    for layer in range(1, 4):
        for level in space.levels(layer):
            for source, move in space.predecessors(layer, level):
                gate = found[layer - 1][3 * source + move]
                share = chances[layer - 1, source, level] / chances[layer, level]
                np.testing.assert_allclose(gate, share, rtol=1e-5)


def test_the_auxiliary_skip_is_a_skip_connection_on_every_edge():
    """Where alpha takes none of the ops, what is left is what it alone would compute."""
    fields = dict(TINY, ops=("none", "skip_connect"))
    images = images_of((33, 33))
    added = make_model(auxiliary_skip=1.0, **fields)
    added.alpha.assign([[30.0, -30.0]] * 2)  # none
    alone = make_model(auxiliary_skip=0.0, **fields)
    alone.alpha.assign([[-30.0, 30.0]] * 2)  # skip_connect
    assert_close([added(images, training=False)], [alone(images, training=False)])
    alone.alpha.assign([[30.0, -30.0]] * 2)
    assert relative_error(added(images, training=False), alone(images, training=False)) > 0.01


def test_unknown_gates_are_named():
    with pytest.raises(ValueError, match="Supernet.gates = 'sharp': choose from"):
        Supernet(SearchSpace(**TINY), CLASSES, gates="sharp")


@pytest.mark.parametrize("levels", [1, 2, 4])
def test_eq_7_at_every_node(levels):
    """Moves out of every node sum to one, by the model, by `space` and by the reference."""
    model = make_model(**dict(TINY, num_layers=4, num_levels=levels))
    moves = model.move_probabilities().numpy()
    np.testing.assert_allclose(moves.sum(axis=-1), 1.0, rtol=1e-6)
    assert (moves[:, ~model.space.legal_moves()] == 0).all()
    expected = model.architecture().move_probabilities
    np.testing.assert_allclose(moves, expected, rtol=1e-5)
    for (layer, level, target), chance in gates(model.beta, levels).items():
        np.testing.assert_allclose(moves[layer, level, target - level + 1], chance, rtol=1e-5)


def test_initial_moves_are_uniform_over_the_legal_ones():
    model = Supernet(SearchSpace(**TINY), CLASSES)
    model.build((1, 16, 16, 3))
    np.testing.assert_allclose(model.move_probabilities()[0, 0], [0, 0.5, 0.5], atol=2e-3)
    np.testing.assert_allclose(model.op_probabilities(), 0.25, atol=2e-3)


def test_initial_architecture():
    """0.001 * N(0, 1), from the global seed."""

    def initial(seed):
        tf.keras.utils.set_random_seed(seed)
        ops = ("none", "skip_connect", "max_pool_3x3", "avg_pool_3x3")
        space = SearchSpace(num_layers=6, num_blocks=5, filter_multiplier=1, ops=ops)
        model = Supernet(space, CLASSES)
        model.build((1, 64, 64, 3))
        return [variable.numpy() for variable in model.architecture_variables]

    alpha, beta = initial(0)
    assert alpha.shape == (20, 4) and beta.shape == (5, 4, 3)
    values = np.concatenate([alpha.ravel(), beta.ravel()])
    assert 0.8e-3 < values.std() < 1.2e-3
    assert abs(values.mean()) < 0.3e-3
    assert len(np.unique(values)) == len(values)
    assert_close(initial(0), [alpha, beta], tolerance=0)
    assert relative_error(initial(1)[0], alpha) > 0.1


def test_the_papers_nodes():
    """42 nodes for 12 layers; filters, moves and classifiers as in the paper."""
    model = Supernet(SearchSpace(), 19)
    counts = [1, 2, 3] + [4] * 9
    names = [node_name(layer, level) for layer, n in enumerate(counts) for level in range(n)]
    assert len(names) == 42 and list(model.nodes) == names
    for name, cell in model.nodes.items():
        assert cell.filters == 8 * int(name.rpartition("_")[2]) // 4
        assert cell.num_blocks == 5 and not cell.separable_atrous
    last = [model.nodes[f"layer_12_stride_{stride}"].moves for stride in (4, 8, 16, 32)]
    assert last[0] == ("stay", "up")
    assert last[1] == last[2] == ("down", "stay", "up")
    assert last[3] == ("down", "stay")
    assert [head.rates for head in model.heads] == [(24,), (12,), (6,), (3,)]
    assert [head.filters for head in model.heads] == [40, 80, 160, 320]


def test_number_of_weights(tiny):
    """Counted by hand for two layers, two levels, one block, F = 2."""

    def head(channels, filters):
        """1x1, 3x3, pooling branch, projection, batch norms of all but pooling; 1x1 with bias."""
        kernels = (1 + 9 + 1) * channels * filters + 3 * filters * filters
        return kernels + 3 * 2 * filters + (filters + 1) * CLASSES

    def cell(filters):
        """One separable 3x3, twice, on each of two edges."""
        return 2 * 2 * (9 * filters + filters * filters)

    stem = 9 * (3 * 64 + 64 * 64 + 64 * 128) + 2 * (64 + 64 + 128)
    first = 128 * 2 + cell(2)
    # Layer 2 at stride 4 has two inputs, the stem being its H^(l-2); at stride 8 one.
    second = 2 * 2 + 128 * 2 + cell(2) + 9 * 2 * 4 + cell(4)
    expected = stem + first + second + head(2, 2) + head(4, 4)
    assert sum(int(tf.size(weight)) for weight in tiny.weight_variables) == expected
    assert len(tiny.weight_variables) + 2 == len(tiny.trainable_variables)
    assert [variable.name for variable in tiny.architecture_variables] == ["alpha:0", "beta:0"]


def test_wanted_gradients_are_those_of_all(tiny):
    images = images_of((33, 33))
    before = tiny.get_weights()

    def gradients(wanted, variables):
        tiny.set_weights(before)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tiny(images, training=True, wanted=wanted) ** 2)
        return tape.gradient(loss, variables)

    for wanted, variables in (
        (GradientsFor.WEIGHTS, tiny.weight_variables),
        (GradientsFor.ARCHITECTURE, tiny.architecture_variables),
    ):
        assert_close(
            gradients(wanted, variables), gradients(GradientsFor.ALL, variables), tolerance=1e-5
        )
    tiny.set_weights(before)


def test_all_batch_norms_have_the_same_momentum(tiny):
    norms = [
        layer for layer in tiny.submodules if isinstance(layer, tf.keras.layers.BatchNormalization)
    ]
    # Three in the stem, four in each head.
    assert len(norms) == 3 + 2 * 4
    assert {layer.momentum for layer in norms} == {BATCH_NORM_MOMENTUM}
    cells = tiny.nodes.values()
    assert {cell.momentum for cell in cells} == {BATCH_NORM_MOMENTUM}


def pooling_variables(model):
    """Variables of the batch norms behind image pooling, by id."""
    return {id(variable) for head in model.heads for variable in head.pooled.norm.variables}


def test_training_moves_all_statistics_and_inference_none(tiny):
    before = [variable.numpy() for variable in tiny.non_trainable_variables]
    tiny(images_of((33, 33)), training=False)
    assert_close(tiny.non_trainable_variables, before, tolerance=0)
    tiny(images_of((33, 33)), training=True)
    frozen = pooling_variables(tiny)
    assert len(frozen) == 2 * 4
    for variable, old in zip(tiny.non_trainable_variables, before):
        # One pixel per image has no statistics worth following.
        moved = relative_error(variable, old) > 1e-3
        assert moved == (id(variable) not in frozen), variable.name


def test_batch_norms_behind_image_pooling_do_nothing():
    model = Supernet(SearchSpace(**TINY), CLASSES)
    model.build((2, 33, 33, 3))
    frozen = pooling_variables(model)
    assert not frozen & {id(variable) for variable in model.trainable_variables}
    for variable in model.non_trainable_variables:
        if id(variable) in frozen:
            one = "gamma" in variable.name or "variance" in variable.name
            np.testing.assert_array_equal(variable, np.full(variable.shape, float(one)))


def test_decode(tiny):
    """The genotype of the current alpha and beta."""
    genotype, probability = tiny.decode()
    assert (genotype, probability) == decode(tiny.architecture())
    model = Supernet(tiny.space, CLASSES)
    model.build((1, 33, 33, 3))
    model.beta.assign([[[0.0, 0.0, 50.0], [0.0, 0.0, 0.0]]])
    model.alpha.assign([[0.0, 3.0, 0.0, 0.0], [0.0, 0.0, 0.0, 3.0]])
    genotype, probability = model.decode()
    assert genotype.path == (0, 1) and probability == pytest.approx(1.0)
    assert set(genotype.cell[0]) == {(0, "skip_connect"), (1, "sep_conv_3x3")}
