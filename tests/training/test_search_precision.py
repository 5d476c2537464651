"""Searches in mixed precision: they follow float32, and overflows are skipped."""

import numpy as np
import pytest
import tensorflow as tf
from test_alternating_model import SPACE, fit, make_batch, make_model, values

from adl_tf.models.supernet import Supernet
from adl_tf.training.checkpointing import Checkpointing
from adl_tf.training.devices import precision_policy
from adl_tf.training.losses import segmentation_loss

STEPS = 20


def search(precision, seeds=(1, 2), steps=STEPS):
    """The model after alternating steps, its losses, and how alpha moved."""
    with precision_policy(precision):
        model = make_model()
        start = model.supernet.alpha.numpy()
        history = fit(model, tuple(map(make_batch, seeds)), steps).history
    return model, history, model.supernet.alpha.numpy() - start


@pytest.mark.whole
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_follows_float32(precision):
    """Nearer than a search of other images comes; Adam moves by signs, those of tiny gradients
    included."""
    _, history, moved = search("float32")
    _, _, otherwise = search("float32", seeds=(3, 4))
    model, found, mixed = search(precision)
    for name in ("loss", "arch_loss"):
        np.testing.assert_allclose(found[name], history[name], rtol=0.03)
    distance, noise = np.linalg.norm(mixed - moved), np.linalg.norm(otherwise - moved)
    assert distance < 0.7 * noise and np.abs(moved).max() > 0.01, (distance, noise)
    assert {v.dtype for v in model.supernet.variables} == {tf.float32}
    with precision_policy(precision):
        logits = model.supernet(make_batch(0)["image"])
        compute_dtype = Supernet(SPACE, 3).compute_dtype
    assert logits.dtype == tf.float32 and compute_dtype == precision[len("mixed_") :]


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_gradients_of_the_architecture_are_those_of_float32(precision):
    def gradients(precision):
        with precision_policy(precision):
            model, batch = make_model(), make_batch(1)
            supernet = model.supernet
            with tf.GradientTape() as tape:
                logits = supernet(batch["image"], training=True)
                loss = segmentation_loss(batch["label"], logits)
            return tape.gradient(loss, supernet.architecture_variables)

    for found, expected in zip(gradients(precision), gradients("float32")):
        assert np.corrcoef(np.ravel(found), np.ravel(expected))[0, 1] > 0.95


def test_steps_that_overflow_change_nothing_and_halve_the_scale():
    with precision_policy("mixed_float16"):
        model = make_model()
        optimizers = model.weight_optimizer, model.architecture_optimizer
        for optimizer in optimizers:
            optimizer.loss_scale  # noqa: B018  Both scale.
        model.weight_optimizer._loss_scale._current_loss_scale.assign(2.0**100)
        before = values(model.supernet.weight_variables)
        fit(model, (make_batch(1), make_batch(2)))
    for old, new in zip(before, values(model.supernet.weight_variables)):
        np.testing.assert_array_equal(old, new)
    assert float(model.weight_optimizer.loss_scale) == 2.0**99
    assert int(model.architecture_optimizer.iterations) == 1


@pytest.mark.whole
def test_a_search_in_float16_resumes_with_its_scale(tmp_path):
    def state(model):
        return {
            "supernet": model.supernet,
            "weight_optimizer": model.weight_optimizer,
            "architecture_optimizer": model.architecture_optimizer,
        }

    with precision_policy("mixed_float16"):
        model = make_model()
        fit(model, (make_batch(1), make_batch(2)), steps=2)
        checkpointing = Checkpointing(str(tmp_path), 10, 1, **state(model))
        checkpointing.save()
        again = make_model()
        again.weight_optimizer._loss_scale._current_loss_scale.assign(8.0)
        assert Checkpointing(str(tmp_path), 10, 1, **state(again)).restore()
        assert float(again.weight_optimizer.loss_scale) == float(model.weight_optimizer.loss_scale)
        results = []
        for each in (model, again):
            fit(each, (make_batch(3), make_batch(4)))
            results.append(values(each.supernet.variables))
    for one, other in zip(*results):
        np.testing.assert_array_equal(one, other)
