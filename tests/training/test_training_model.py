"""Steps of a training: what they change, whatever the devices, parts and precision."""

import gc

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.framework.func_graph import FuncGraph

from adl_tf.layers.cell import Cell
from adl_tf.models.registry import NetworkDescription, build_network
from adl_tf.runs.data import Validation
from adl_tf.runs.run import end_epoch
from adl_tf.space.genotype import Genotype
from adl_tf.training.callbacks.dropping import DropPathSchedule, HeadDropout, drop_rate
from adl_tf.training.callbacks.result_weights import ResultWeights
from adl_tf.training.checkpointing import Checkpointing
from adl_tf.training.losses import segmentation_loss
from adl_tf.training.optimizers import adam_optimizer, current_rate, training_optimizer
from adl_tf.training.training_model import TrainingModel

SIZE, CLASSES = 9, 3
layers = tf.keras.layers


def make_model(average_decay=None, norm=False, **options):
    """A network of two convolutions: what is tested does not depend on its depth."""
    tf.keras.utils.set_random_seed(3)
    network = tf.keras.Sequential(
        [
            layers.Conv2D(4, 3, padding="same", input_shape=(None, None, 3)),
            *([layers.BatchNormalization()] if norm else []),
            layers.ReLU(),
            layers.Conv2D(CLASSES, 1, dtype="float32"),
        ]
    )
    network.num_classes = CLASSES
    model = TrainingModel(network, **options)
    model.compile(training_optimizer(total_steps=10, average_decay=average_decay))
    model.build((None, SIZE, SIZE, 3))
    return model


def make_batch(seed, size=4):
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, (size, SIZE, SIZE)).astype(np.int32)
    labels[0, : SIZE // 2] = 255  # Unevenly over replicas and parts.
    return {
        "image": random.normal(size=(size, SIZE, SIZE, 3)).astype(np.float32),
        "label": labels,
        "position": np.arange(seed * size, (seed + 1) * size),
    }


def fit(model, batch, steps=1, **options):
    dataset = tf.data.Dataset.from_tensors(batch).repeat()
    return model.fit(dataset, steps_per_epoch=steps, epochs=1, verbose=0, **options)


def weights(model):
    return [variable.numpy() for variable in model.network.weights]


def assert_same_weights(one, two):
    assert one.positions[0].numpy() == two.positions[0].numpy()
    for a, b in zip(weights(one), weights(two)):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_a_step_is_sgd_with_l2_of_the_kernels():
    model = make_model(weight_decay=0.1)
    batch = make_batch(0)
    variables = model.network.trainable_variables
    with tf.GradientTape() as tape:
        loss = segmentation_loss(batch["label"], model.network(batch["image"], training=True))
    gradients = tape.gradient(loss, variables)
    expected = [
        v.numpy() - 0.05 * (g + (0.1 * v if len(v.shape) > 1 else 0.0))
        for v, g in zip(variables, gradients)
    ]
    history = fit(model, batch).history
    assert history["loss"][0] == pytest.approx(float(loss), rel=1e-5)
    for variable, value in zip(variables, expected):
        np.testing.assert_allclose(variable.numpy(), value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"class_weights": [1.0, 2.0, 0.5]}])
def test_parts_and_devices_make_the_update_of_one_batch(two_devices, options):
    batch = make_batch(1)
    whole = make_model(**options)
    fit(whole, batch)
    parts = make_model(accumulation_steps=2, **options)
    fit(parts, batch)
    assert_same_weights(whole, parts)
    assert float(parts.confusion.result()) == pytest.approx(float(whole.confusion.result()))
    with two_devices.scope():
        mirrored = make_model(accumulation_steps=2, **options)
    fit(mirrored, batch)
    assert_same_weights(whole, mirrored)


@pytest.mark.parametrize("class_weights", [None, [1.0, 2.0, 0.5]])
def test_the_loss_of_validations_is_that_of_the_training(two_devices, class_weights):
    batch = make_batch(2)
    labels, valid = np.where(batch["label"] == 255, 0, batch["label"]), batch["label"] != 255
    with two_devices.scope():
        mirrored = make_model(class_weights=class_weights)
    for model in (make_model(class_weights=class_weights), mirrored):
        logits = model.network(batch["image"]).numpy().astype(np.float64)
        logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        losses = -np.take_along_axis(logs, labels[..., None], -1)[..., 0]
        weights_of_pixels = valid * np.array(class_weights or [1.0, 1.0, 1.0])[labels]
        expected = (weights_of_pixels * losses).sum() / weights_of_pixels.sum()
        data = tf.data.Dataset.from_tensor_slices(batch).batch(4)
        scored = model.evaluate(data, verbose=0, return_dict=True)["loss"]
        assert scored == pytest.approx(expected, rel=1e-5)


def test_averaged_weights_are_scored_and_the_trained_ones_restored():
    model = make_model(average_decay=0.9)
    fit(model, make_batch(0), steps=5)
    trained = weights(model)
    optimizer = model.optimizer
    averages = [optimizer.get_slot(v, "average").numpy() for v in model.network.trainable_variables]
    assert any(np.abs(a - t).max() > 1e-4 for a, t in zip(averages, trained))
    validation = tf.data.Dataset.from_tensors(make_batch(7))
    scored = model.evaluate(validation, verbose=0, return_dict=True)["loss"]
    for before, after in zip(trained, weights(model)):
        np.testing.assert_array_equal(before, after)
    with model.averaged_weights():
        for average, used in zip(averages, weights(model)):
            np.testing.assert_array_equal(average, used)
        batch = make_batch(7)
        expected = segmentation_loss(batch["label"], model.network(batch["image"]))
    assert scored == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_trains_the_decoded_network(policy):
    tf.keras.mixed_precision.set_global_policy(policy)
    try:
        genotype = Genotype((0, 1), [[[0, "sep_conv_3x3"], [1, "atrous_conv_3x3"]]])
        network = build_network(NetworkDescription("decoded", CLASSES, genotype, 2))
        model = TrainingModel(network)
        model.compile(training_optimizer(total_steps=10, initial_rate=0.01))
        model.build((None, SIZE, SIZE, 3))
        before = weights(model)
        history = fit(model, make_batch(0), steps=6).history
    finally:
        tf.keras.mixed_precision.set_global_policy("float32")
    assert np.isfinite(history["loss"][0])
    assert all(weight.dtype == np.float32 for weight in before)
    changed = [(a != b).any() for a, b in zip(before, weights(model))]
    assert np.mean(changed) > 0.9


def test_a_non_finite_loss_stops_before_anything_is_saved(tmp_path):
    model = make_model()
    batch = make_batch(0)
    fit(model, batch)
    batch["image"][0, 0, 0, 0] = np.inf
    results = ResultWeights(str(tmp_path), model)
    checkpointing = Checkpointing(str(tmp_path), 10, 1, network=model.network)
    with pytest.raises(ValueError, match="the loss is not finite after step 0"):
        fit(model, batch, callbacks=[results, checkpointing])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("make, rate", [(training_optimizer, 0.05), (adam_optimizer, 0.001)])
def test_rates_fall_to_zero(make, rate):
    optimizer = make(total_steps=100)
    assert current_rate(optimizer) == pytest.approx(rate)
    assert float(optimizer.learning_rate(50)) == pytest.approx(rate * 0.5**0.9)
    assert float(optimizer.learning_rate(100)) == 0


@pytest.mark.parametrize("make", [training_optimizer, adam_optimizer])
def test_rates_can_rise_at_first(make):
    plain, rising = make(total_steps=100), make(total_steps=100, warmup=0.1)
    for step, share in ((0, 0.1), (4, 0.5), (9, 1.0), (50, 1.0)):
        expected = share * float(plain.learning_rate(step))
        assert float(rising.learning_rate(step)) == pytest.approx(expected)
    assert current_rate(rising) == pytest.approx(0.1 * current_rate(plain))
    again = type(rising).from_config(rising.get_config())
    assert current_rate(again) == pytest.approx(current_rate(rising))


def test_schedules():
    assert drop_rate(0.8, depth=1.0, progress=1.0) == pytest.approx(0.2)
    assert drop_rate(0.8, depth=0.5, progress=0.5) == pytest.approx(0.05)
    assert drop_rate(0.8, depth=1.0, progress=0.0) == 0


def test_paths_are_dropped_more_with_depth_and_time():
    genotype = Genotype((0, 0), [[[0, "skip_connect"], [1, "skip_connect"]]])
    network = build_network(NetworkDescription("decoded", CLASSES, genotype, 2))
    optimizer = training_optimizer(total_steps=10)
    callback = DropPathSchedule(network, optimizer, total_steps=10, final_keep=0.6)
    rates = []
    for step in (0, 5, 10):
        optimizer.iterations.assign(step)
        callback.on_train_batch_begin(0)
        cells = [layer for layer in network.layers if isinstance(layer, Cell)]
        rates.append([float(cell.drop.schedule[0]) for cell in cells])
        assert all(int(cell.drop.schedule[1]) == step for cell in cells)
    np.testing.assert_allclose(rates, [[0, 0], [0.1, 0.2], [0.2, 0.4]], atol=1e-6)


def test_dropout_of_the_head_gets_rate_and_step():
    genotype = Genotype((0, 0), [[[0, "skip_connect"], [1, "skip_connect"]]])
    network = build_network(NetworkDescription("decoded", CLASSES, genotype, 2))
    optimizer = training_optimizer(total_steps=10)
    optimizer.iterations.assign(7)
    HeadDropout(network, optimizer, rate=0.1).on_train_batch_begin(0)
    np.testing.assert_allclose(network.get_layer("dropout").schedule, [0.1, 7])
    with pytest.raises(ValueError, match="HeadDropout.rate = 1.0: input should be less than 1"):
        HeadDropout(network, optimizer, rate=1.0)


def test_the_last_step_of_a_shorter_epoch_is_saved_by_its_end_only(tmp_path):
    model = make_model()
    state = Checkpointing(str(tmp_path), steps_per_epoch=30, every_steps=1, network=model.network)
    fit(model, make_batch(0), steps=3, callbacks=[state])
    assert (state.epoch, state.step) == (1, 0)
    saved = {path.stem for path in tmp_path.glob("ckpt-*.index")}
    assert saved == {"ckpt-2", "ckpt-30"}


def test_an_epoch_without_steps_left_is_scored_and_ended(tmp_path):
    model = make_model()
    results = ResultWeights(str(tmp_path), model)
    state = Checkpointing(str(tmp_path), steps_per_epoch=30, every_steps=1, network=model.network)
    validation = Validation(tf.data.Dataset.from_tensors(make_batch(7)), None)
    end_epoch(model, validation, 3, [results, state])
    assert state.epoch == 4 and 0 <= float(results.best) <= 1


def test_a_dropped_model_leaves_no_graph_behind():
    """A search trains dozens of networks in one process."""

    def count_graphs():
        tf.keras.backend.clear_session()
        gc.collect()
        return sum(isinstance(found, FuncGraph) for found in gc.get_objects())

    fit(make_model(norm=True), make_batch(0))
    before = count_graphs()
    for _ in range(2):
        fit(make_model(norm=True), make_batch(0))
    assert count_graphs() <= before  # fewer: what earlier tests left may go meanwhile
