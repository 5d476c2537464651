"""Shared weights, trained one sampled genotype at a time."""

from typing import Optional

import numpy as np
import tensorflow as tf

from adl_tf.models.shared_network import SharedNetwork
from adl_tf.settings import NotNegative, Number, configurable
from adl_tf.space.fair_sampling import FairSampler
from adl_tf.training.losses import weighted_loss
from adl_tf.training.optimizers import Optimizer, create_variables
from adl_tf.training.segmentation_model import SegmentationModel


@configurable(unbound=["ignore_label"])
class SampledModel(SegmentationModel):
    """Trains a `SharedNetwork` with `fit`; each step draws a genotype and trains its layers.

    Runs eagerly, since every genotype is another graph.

    Reference:
      Guo et al., Single path one-shot NAS, section 3.2, https://arxiv.org/abs/1904.00420.

    Args:
      network: the shared weights.
      class_weights: weight of the pixels of each class in the loss; None for 1.
      seed: of the genotypes.
      weight_decay: L2 coefficient of the convolutions' kernels, added to their gradient.
      ignore_label: label without loss and score.
    """

    def __init__(
        self,
        network: SharedNetwork,
        class_weights: Optional[np.ndarray] = None,
        seed: Number = 0,
        weight_decay: NotNegative = 4e-5,
        ignore_label: int = 255,
        **kwargs,
    ):
        super().__init__(network, ignore_label=ignore_label, **kwargs)
        self.class_weights = class_weights
        self.weight_decay = weight_decay
        self._sampler = FairSampler(network.space, seed)

    def compile(self, optimizer: Optimizer, **kwargs):
        """Sets the optimizer of the weights."""
        super().compile(optimizer, run_eagerly=True, **kwargs)

    def build(self, input_shape):
        """Creates the variables that every step trains."""
        self.network.build(input_shape)
        tf.keras.layers.Layer.build(self, input_shape)
        create_variables(self.optimizer, self.network.trainable_variables)

    def catch_up(self) -> None:
        """After a checkpoint was restored: draws what the steps before it drew.

        Makes their layers, too, which then get their values, so that the next checkpoint has them.
        """
        for _ in range(int(self.optimizer.iterations)):
            self.network.prepare(self._sampler.draw())
        create_variables(self.optimizer, self.network.trainable_variables)

    def train_step(self, data):
        """One step of the layers of a genotype."""
        (batch,) = self.read_batches(data)
        genotype = self._sampler.draw()
        with tf.GradientTape() as tape:
            logits = self.network.compute(batch["image"], genotype, training=True)
            loss, weight = weighted_loss(
                batch["label"], logits, self.ignore_label, self.class_weights
            )
            loss = tf.math.divide_no_nan(loss, weight)
        variables = self.network.used_variables()
        gradients = tape.gradient(loss, variables)
        gradients = [
            g + self.weight_decay * v if len(v.shape) > 1 else g
            for g, v in zip(gradients, variables)
        ]
        self.optimizer.apply_gradients(zip(gradients, variables))
        self.loss_mean.update_state(loss)
        self.score(batch, logits)
        self.advance(0, batch)
        return self.results()
