"""Alternating steps: what they change, by how much, and that devices do not change it."""

import numpy as np
import pytest
import tensorflow as tf

from adl_tf.models.supernet import Supernet
from adl_tf.space.search_space import SearchSpace
from adl_tf.training.alternating_model import AlternatingModel
from adl_tf.training.checkpointing import Checkpointing
from adl_tf.training.losses import segmentation_loss
from adl_tf.training.optimizers import architecture_optimizer, walk_of_noise, weight_optimizer

SIZE, CLASSES = 33, 3
SPACE = SearchSpace(num_layers=2, num_blocks=1, filter_multiplier=4, num_levels=2)


def make_model(**options):
    tf.keras.utils.set_random_seed(3)
    model = AlternatingModel(Supernet(SPACE, CLASSES), **options)
    model.compile(weight_optimizer(10), architecture_optimizer(10, rate=0.003))
    model.build((None, SIZE, SIZE, 3))
    return model


def make_batch(seed, size=4):
    random = np.random.default_rng(seed)
    labels = random.integers(0, CLASSES, (size, SIZE, SIZE)).astype(np.int32)
    labels[0, : SIZE // 2] = 255  # Unevenly over the replicas.
    return {
        "image": random.normal(size=(size, SIZE, SIZE, 3)).astype(np.float32),
        "label": labels,
        "position": np.arange(seed * size, (seed + 1) * size),
    }


def fit(model, batches, steps=1, **options):
    dataset = tf.data.Dataset.from_tensors(batches).repeat()
    return model.fit(dataset, steps_per_epoch=steps, epochs=1, verbose=0, **options)


def values(variables):
    return [variable.numpy() for variable in variables]


def test_weight_steps_leave_the_architecture_alone():
    model = make_model()
    before = values(model.supernet.architecture_variables)
    weights = values(model.supernet.weight_variables)
    fit(model, (make_batch(0),), steps=2)
    for old, new in zip(before, values(model.supernet.architecture_variables)):
        np.testing.assert_array_equal(old, new)
    assert all(
        (old != new).any() for old, new in zip(weights, values(model.supernet.weight_variables))
    )
    assert int(model.architecture_optimizer.iterations) == 0
    assert [int(p) for p in model.positions] == [4, 0]


def test_alternating_steps_train_both():
    model = make_model()
    before = values(model.supernet.architecture_variables)
    history = fit(model, (make_batch(0), make_batch(1)), steps=2).history
    for old, new in zip(before, values(model.supernet.architecture_variables)):
        assert np.abs(old - new).max() > 1e-3
    assert {"loss", "arch_loss", "miou"} <= set(history)
    assert [int(p) for p in model.positions] == [4, 8]


def test_weight_step_is_sgd_with_l2():
    model = make_model(weight_decay=0.1)
    batch = make_batch(0)
    variables = model.supernet.weight_variables
    before = values(variables)
    with tf.GradientTape() as tape:
        logits = model.supernet(batch["image"], training=True)
        loss = segmentation_loss(batch["label"], logits)
    expected = [
        old - 0.025 * (tf.convert_to_tensor(gradient) + 0.1 * old)
        for old, gradient in zip(before, tape.gradient(loss, variables))
    ]
    fit(model, (batch,))
    for new, value in zip(values(variables), expected):
        np.testing.assert_allclose(new, value, rtol=1e-4, atol=1e-6)


def test_architecture_step_sees_the_other_half_only():
    """The same trainA with two trainBs: equal weights after one step, other alphas."""
    outcomes = []
    for seed in (1, 2):
        model = make_model(batch_norm_training=False)
        fit(model, (make_batch(0), make_batch(seed)))
        outcomes.append((values(model.supernet.weight_variables), model.supernet.alpha.numpy()))
    for first, second in zip(outcomes[0][0], outcomes[1][0]):
        np.testing.assert_allclose(first, second, atol=1e-7)
    assert np.abs(outcomes[0][1] - outcomes[1][1]).max() > 1e-4


def test_a_search_that_diverges_is_stopped_in_fit(tmp_path):
    model = make_model(batch_norm_training=False)
    model.supernet.weight_variables[-1].assign_add(
        np.full(model.supernet.weight_variables[-1].shape, np.nan)
    )
    checkpointing = Checkpointing(str(tmp_path), 10, 1, supernet=model.supernet)
    with pytest.raises(ValueError, match="the loss is not finite after step 0"):
        fit(model, (make_batch(0), make_batch(1)), callbacks=[checkpointing])
    assert not list(tmp_path.iterdir())


def test_loss_is_the_mean_over_labelled_pixels():
    logits = np.random.default_rng(0).normal(size=(1, 2, 2, CLASSES)).astype(np.float32)
    labels = np.array([[[0, 255], [2, 255]]], np.int32)
    log_softmax = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = -(log_softmax[0, 0, 0, 0] + log_softmax[0, 1, 0, 2]) / 2
    assert float(segmentation_loss(labels, logits)) == pytest.approx(expected, rel=1e-5)
    assert float(segmentation_loss(np.full_like(labels, 255), logits)) == 0.0


def train_in(strategy, batches, **options):
    with strategy.scope():
        model = make_model(**options)
    fit(model, batches)
    return model


def assert_same_update(one, two, atol=2e-6):
    np.testing.assert_array_equal(values(one.positions), values(two.positions))
    for a, b in zip(one.supernet.trainable_variables, two.supernet.trainable_variables):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=atol, err_msg=a.name)


def test_two_devices_make_the_update_of_one(two_devices):
    batches = (make_batch(0), make_batch(1))
    one = make_model(batch_norm_training=False)
    fit(one, batches)
    assert_same_update(one, train_in(two_devices, batches, batch_norm_training=False))


@pytest.mark.whole
def test_two_devices_differ_by_batch_statistics_only(two_devices):
    """With equal halves the statistics of a half are those of the batch, and nothing differs."""
    batches = []
    for seed in (0, 1):
        half = make_batch(seed, size=2)
        batches.append({key: np.concatenate([value, value]) for key, value in half.items()})
    one = make_model()
    fit(one, tuple(batches))
    # Adam's first step divides a gradient by its own size, rounding errors included.
    assert_same_update(one, train_in(two_devices, tuple(batches)), atol=5e-5)


def test_schedule_and_rates_are_the_papers():
    optimizer = weight_optimizer(total_steps=100)
    rates = [float(optimizer.learning_rate(step)) for step in (0, 50, 100)]
    assert rates == pytest.approx([0.025, 0.013, 0.001])
    assert float(optimizer.momentum) == pytest.approx(0.9)
    assert float(architecture_optimizer(20, rate=0.003).learning_rate) == pytest.approx(0.003)
    # However few the steps, a logit can go as far.
    assert float(architecture_optimizer(400, wander=0.4).learning_rate) == pytest.approx(0.02)


@pytest.mark.parametrize("several", [False, True], ids=["single", "mirrored"])
def test_noise_moves_logits_as_far_as_is_told(several):
    strategy = tf.distribute.get_strategy()
    if several:
        strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        logits = tf.Variable(tf.zeros([400]))
        optimizer = architecture_optimizer(200, wander=0.3)
    for step in range(100):
        noise = tf.random.stateless_normal([400], [0, step])
        strategy.run(lambda noise: optimizer.apply_gradients([(noise, logits)]), (noise,))
    expected = 0.3 * 0.5**0.5  # Half of the steps are made.
    assert walk_of_noise(optimizer) == pytest.approx(expected, rel=1e-5)
    assert np.std(logits.numpy()) == pytest.approx(expected, rel=0.15)
