"""The search's own test: on data that need fine strides beta turns to them, and the reverse."""

import numpy as np
import pytest
import tensorflow as tf

from adl_tf.layers.shared_function import GradientsFor
from adl_tf.models.supernet import Supernet
from adl_tf.runs.data import RunData
from adl_tf.space.relaxed import RelaxedArchitecture
from adl_tf.space.search_space import SearchSpace
from adl_tf.training.alternating_model import AlternatingModel
from adl_tf.training.devices import seeded
from adl_tf.training.losses import segmentation_loss
from adl_tf.training.optimizers import architecture_optimizer, weight_optimizer
from data_prep import convert_synthetic

OPS = ("none", "skip_connect", "max_pool_3x3", "sep_conv_3x3")
SPACE = SearchSpace(num_layers=4, num_blocks=1, filter_multiplier=8, ops=OPS)
STEPS, BATCHES = 120, 24


def mean_level(beta):
    """Where paths end, on average: 0 is stride 4, 3 stride 32."""
    visits = RelaxedArchitecture(SPACE, beta=beta).visits
    return float(visits[-1] @ np.arange(SPACE.num_levels))


def direction(scene, folder, seed):
    """How a small step of beta along its mean gradient moves the mean level."""
    directory = str(folder / scene)
    convert_synthetic.build(directory, scene=scene, num_train=120, num_val=1)
    data = RunData(directory, crop_size=97, batch_size=4, seed=seed)
    with seeded(seed), data.open():
        supernet = Supernet(SPACE, data.num_classes, stem=(16, 16, 32), separable_atrous=True)
        model = AlternatingModel(supernet)
        model.compile(weight_optimizer(total_steps=STEPS), architecture_optimizer(1))
        model.build((None, *data.crop_size, 3))
        for variable in supernet.architecture_variables:
            variable.assign(tf.zeros_like(variable))
        model.fit(data.training_stream(0, "A"), steps_per_epoch=STEPS, verbose=0)

        @tf.function(autograph=False)
        def gradient(image, label):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(supernet.beta)
                logits = supernet(image, training=True, wanted=GradientsFor.ARCHITECTURE)
                loss = segmentation_loss(tf.cast(label, tf.int32), logits)
            return tape.gradient(loss, supernet.beta)

        gradients = [
            gradient(batch["image"], batch["label"]).numpy()
            for batch in data.training_stream(0, "B").take(BATCHES)
        ]
    small = 1e-3 / np.abs(gradients).max()
    start = np.zeros(SPACE.beta_shape)
    moves = [(mean_level(start - small * g) - mean_level(start)) / small for g in gradients]
    return np.mean(moves), np.std(moves, ddof=1) / len(moves) ** 0.5


@pytest.mark.whole
@pytest.mark.parametrize("scene, sign", [("lines", -1), ("dots", 1)])
def test_beta_turns_to_the_strides_that_the_data_need(scene, sign, tmp_path):
    mean, error = direction(scene, tmp_path, seed=0)
    assert sign * mean > 2 * error, (mean, error)
