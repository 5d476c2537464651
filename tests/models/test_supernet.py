"""The whole supernet against the plain per-edge reference network."""

import collections
import json

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
from adl_tf.layers.shared_function import Wanted
from adl_tf.models.supernet import Supernet, node_name
from adl_tf.space import ops as candidate_ops
from adl_tf.space import search_space
from adl_tf.space.decoding import best_path, decode, move_probabilities
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


def images_of(size, batch=2):
    return tf.random.stateless_normal([batch, *size, 3], [0, 1])


def make_model(size=(33, 33), batch=2, **fields):
    """A model with an architecture far from uniform and statistics far from initial."""
    tf.keras.utils.set_random_seed(0)
    model = Supernet(SearchSpace(**fields), CLASSES)
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


def check(model, images, training):
    """Logits and all gradients match the reference."""
    before = model.get_weights()
    logits, expected = run(model, lambda: network(model, images, BatchNorm(training)))
    # The stem and the heads are the same layers: undo what they did to their statistics.
    model.set_weights(before)
    fast, gradients = run(model, lambda: model(images, training=training))
    model.set_weights(before)
    names = ["logits", *gradients]
    assert_close([fast, *gradients.values()], [logits, *expected.values()], names)
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
        pytest.param(
            (35, 34),
            dict(SMALL, num_layers=2, num_blocks=3, num_levels=4, separable_atrous=False),
            marks=pytest.mark.whole,
        ),
    ],
    ids=["odd-separable", "even-full", "mixed-separable", "mixed-full"],
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
    # Large enough for three pixels at stride 64; statistics of a few pixels amplify rounding.
    size, batch = ((129, 130), 4) if fields["num_levels"] == 5 else ((17, 20), 2)
    model = make_model(size, batch, **fields)
    check(model, images_of(size, batch), training=True)


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


def test_every_architecture_logit_that_can_matter_gets_a_gradient():
    """Of beta those of reachable nodes and legal moves, of alpha all."""
    # Without separable convolutions, so that it is quick.
    ops = ("none", "skip_connect", "max_pool_3x3", "avg_pool_3x3")
    model = make_model(**dict(SMALL, num_layers=4, ops=ops))
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(model(images_of((33, 33)), training=True) ** 2)
    alpha, beta = (g.numpy() for g in tape.gradient(loss, model.architecture_variables))
    assert (alpha != 0).all()
    legal = model.space.legal_moves()
    for layer in range(3):
        for level in range(3):
            reachable = level in model.space.levels(layer)
            assert ((beta[layer, level] != 0) == (legal[level] & reachable)).all()


@pytest.mark.parametrize("levels", [1, 2, 4])
def test_eq_7_at_every_node(levels):
    """Moves out of every node sum to one, by the model, by `space` and by the reference."""
    model = make_model(**dict(TINY, num_layers=4, num_levels=levels))
    moves = model.move_probabilities().numpy()
    np.testing.assert_allclose(moves.sum(axis=-1), 1.0, rtol=1e-6)
    assert (moves[:, ~model.space.legal_moves()] == 0).all()
    expected = move_probabilities(model.space, model.beta.numpy())
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
        (Wanted.WEIGHTS, tiny.weight_variables),
        (Wanted.ARCHITECTURE, tiny.architecture_variables),
    ):
        assert_close(gradients(wanted, variables), gradients(Wanted.ALL, variables), tolerance=1e-5)
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
    still = frozen | {id(tiny.temperature)}
    assert len(frozen) == 2 * 4
    for variable, old in zip(tiny.non_trainable_variables, before):
        # One pixel per image has no statistics worth following.
        moved = relative_error(variable, old) > 1e-3
        assert moved == (id(variable) not in still), variable.name


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
    assert (genotype, probability) == decode(tiny.space, tiny.alpha.numpy(), tiny.beta.numpy())
    model = Supernet(tiny.space, CLASSES)
    model.build((1, 33, 33, 3))
    model.beta.assign([[[0.0, 0.0, 50.0], [0.0, 0.0, 0.0]]])
    model.alpha.assign([[0.0, 3.0, 0.0, 0.0], [0.0, 0.0, 0.0, 3.0]])
    genotype, probability = model.decode()
    assert genotype.path == (0, 1) and probability == pytest.approx(1.0)
    assert set(genotype.cell[0]) == {(0, "skip_connect"), (1, "sep_conv_3x3")}


def test_temperature_sharpens_both_softmaxes():
    model = Supernet(SearchSpace(**TINY), CLASSES)
    model.build((1, 33, 33, 3))
    model.alpha.assign(tf.random.stateless_normal(model.alpha.shape, [1, 2]))
    model.beta.assign(tf.random.stateless_normal(model.beta.shape, [3, 4]))
    model.temperature.assign(0.25)
    np.testing.assert_allclose(model.op_probabilities(), tf.nn.softmax(4 * model.alpha), rtol=1e-5)
    moves = move_probabilities(model.space, 4 * model.beta.numpy())
    np.testing.assert_allclose(model.move_probabilities(), moves, rtol=1e-5)
    alpha, beta = model.architecture()
    np.testing.assert_allclose(alpha, 4 * model.alpha.numpy(), rtol=1e-6)
    assert model.decode()[1] == pytest.approx(best_path(model.space, beta)[1])
    assert all(model.temperature is not variable for variable in model.weight_variables)


def test_gumbel_draws_one_op_as_often_as_its_probability():
    model = Supernet(SearchSpace(**TINY), CLASSES, relaxation="gumbel")
    model.build((1, 33, 33, 3))
    model.alpha.assign(tf.random.stateless_normal(model.alpha.shape, [1, 2]))
    tf.random.set_seed(0)
    draws = np.stack([model.op_probabilities(draw=True) for _ in range(3000)])
    np.testing.assert_allclose(np.sort(draws)[..., :-1], 0, atol=1e-6)  # One-hot.
    np.testing.assert_allclose(draws.sum(-1), 1, rtol=1e-5)
    np.testing.assert_allclose(draws.mean(0), tf.nn.softmax(model.alpha), atol=0.04)
    moves = np.stack([model.move_probabilities(draw=True) for _ in range(50)])
    assert (moves[:, :, ~model.space.legal_moves()] == 0).all()
    with tf.GradientTape() as tape:
        weights = tf.random.stateless_normal(model.alpha.shape, [5, 6])
        total = tf.reduce_sum(weights * model.op_probabilities(draw=True))
    assert np.abs(tape.gradient(total, model.alpha)).max() > 0.01
    # Validation mixes, so it is no draw.
    images = tf.random.stateless_normal([1, 33, 33, 3], [7, 8])
    np.testing.assert_array_equal(model(images), model(images))
    trained = [model(images, training=True).numpy() for _ in range(10)]
    assert max(np.abs(logits - trained[0]).max() for logits in trained) > 1e-4
    with pytest.raises(ValueError, match="relaxation 'argmax' is unknown; choose from"):
        Supernet(SearchSpace(**TINY), CLASSES, relaxation="argmax")


@pytest.mark.parametrize("sides", [(None, None), (33, None)])
def test_height_and_width_must_be_static(sides):
    message = r"Supernet: images of shape \(None, .*None, 3\).* static: crop or pad all images"
    model = Supernet(SearchSpace(**TINY), CLASSES)
    with pytest.raises(ValueError, match=message):
        model(tf.keras.Input((*sides, 3)))

    @tf.function(input_signature=[tf.TensorSpec([None, *sides, 3])])
    def logits(images):
        return model(images)

    with pytest.raises(ValueError, match=message):
        logits.get_concrete_function()


def test_keras_inputs_of_a_static_size(tiny):
    inputs = tf.keras.Input((33, 33, 3))
    model = tf.keras.Model(inputs, tiny(inputs))
    images = images_of((33, 33))
    assert_close([model(images)], [tiny(images)], tolerance=1e-6)


def test_weight_variables_exclude_the_architecture(tiny):
    ids = {id(variable) for variable in tiny.architecture_variables}
    assert not ids & {id(variable) for variable in tiny.weight_variables}
    everything = tiny.weight_variables + tiny.architecture_variables
    assert {id(v) for v in everything} == {id(v) for v in tiny.trainable_variables}


def test_a_batch_of_any_size_in_a_graph(tiny):
    """Logits of an image do not depend on its batch, and the batch need not be static."""
    images = images_of((33, 33), batch=3)

    @tf.function(input_signature=[tf.TensorSpec([None, 33, 33, 3])])
    def logits_and_gradient(images):
        logits = tiny(images, training=False)
        return logits, tf.gradients(logits, tiny.alpha)[0]

    logits, gradient = logits_and_gradient(images)
    alone = [logits_and_gradient(images[i : i + 1]) for i in range(3)]
    assert_close([logits], [tf.concat([y for y, _ in alone], axis=0)], tolerance=1e-5)
    assert_close([gradient], [tf.add_n([g for _, g in alone])])


def test_other_image_sizes_after_building(tiny):
    """Evaluation sees other sizes than training."""
    images = images_of((40, 29))
    expected = network(tiny, images, BatchNorm(training=False))
    assert_close([tiny(images, training=False)], [expected])


def test_cells_are_calls_of_few_functions():
    """The step's graph has a call for each incoming move and one graph for each stride."""
    model = make_model(**dict(TINY, num_layers=5))

    @tf.function
    def step(images):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(model(images, training=True) ** 2)
        return tape.gradient(loss, model.trainable_variables)

    graph = step.get_concrete_function(images_of((33, 33))).graph.as_graph_def()
    calls = collections.Counter(
        node.attr["f"].func.name for node in graph.node if "PartitionedCall" in node.op
    )
    cells = [count for name, count in calls.items() if "_cell_" in name]
    # Incoming moves by layer: 1, then 1 + 1, then 2 + 2 for each of three layers.
    assert sum(cells) == 1 + 2 + 3 * 4
    assert len(cells) == 2
    # H^(l-2) is evaluated once for a node, not once for a move: at layer 2 for stride 4
    # alone, whose H^(l-2) is the stem, at layer 3 for stride 4 too, then for both.
    assert sum(count for name, count in calls.items() if "_edges_" in name) == 1 + 1 + 2 + 2
    assert all(function.attr["_noinline"].b for function in graph.library.function)


def test_config_round_trip(tiny):
    config = json.loads(json.dumps(tiny.get_config()))
    copy = Supernet.from_config(config)
    assert copy.space == tiny.space and copy.num_classes == CLASSES
    assert copy.get_config() == tiny.get_config()
    copy.build((2, 33, 33, 3))
    copy.set_weights(tiny.get_weights())
    images = images_of((33, 33))
    assert_close([copy(images)], [tiny(images)], tolerance=0)


def test_the_name_survives_the_config():
    model = Supernet(SearchSpace(**TINY), CLASSES, name="relaxed")
    assert Supernet.from_config(model.get_config()).name == "relaxed"


def save_as_checkpoint(model, fresh, folder):
    path = tf.train.Checkpoint(model=model).save(str(folder / "checkpoint"))
    tf.train.Checkpoint(model=fresh).restore(path).assert_consumed()


def save_as_weights(model, fresh, folder):
    model.save_weights(str(folder / "weights"))
    fresh.load_weights(str(folder / "weights")).assert_consumed()


def save_as_weights_h5(model, fresh, folder):
    model.save_weights(str(folder / "model.weights.h5"))
    fresh.load_weights(str(folder / "model.weights.h5"))


@pytest.mark.parametrize("save", [save_as_checkpoint, save_as_weights, save_as_weights_h5])
def test_saved_and_restored(tiny, tmp_path, save):
    tf.keras.utils.set_random_seed(123)
    fresh = Supernet(tiny.space, CLASSES)
    fresh.build((2, 33, 33, 3))
    images = images_of((33, 33))
    assert relative_error(fresh(images), tiny(images)) > 0.1
    save(tiny, fresh, tmp_path)
    assert_close(fresh.get_weights(), tiny.get_weights(), tolerance=0)
    assert_close([fresh(images)], [tiny(images)], tolerance=0)


def test_restored_before_it_is_built(tiny, tmp_path):
    """As a resumed program does it: variables take their values as they are created."""
    path = tf.train.Checkpoint(model=tiny).save(str(tmp_path / "checkpoint"))
    fresh = Supernet(tiny.space, CLASSES)
    status = tf.train.Checkpoint(model=fresh).restore(path)
    images = images_of((33, 33))
    logits = fresh(images)
    status.assert_consumed()
    assert_close([logits], [tiny(images)], tolerance=0)
