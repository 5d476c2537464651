"""Bilevel search as alternating gradient steps (paper, section 4.1; first order)."""

from typing import Callable, List

import tensorflow as tf

from adl_tf.distribution.reduction import sum_over_replicas
from adl_tf.layers.shared_function import GradientsFor
from adl_tf.models.supernet import Supernet
from adl_tf.system.settings import NotNegative, configurable
from adl_tf.training.losses import segmentation_loss
from adl_tf.training.optimizers import (
    Optimizer,
    create_variables,
    inner_optimizer,
    scaled_loss,
    scaling_loss,
    unscaled_gradients,
)
from adl_tf.training.segmentation_model import SegmentationModel


@configurable(unbound=["ignore_label"])
class AlternatingModel(SegmentationModel):
    """Trains a supernet with `fit`.

    Elements of the training data are `trainA` for a step of the weights alone, or `(trainA,
    trainB)` for that and a step of alpha and beta on trainB; each of the two is a batch,
    `(image, label)` or a dict with these names. Which of the two is fixed when a graph is traced,
    so that weight steps alone pay nothing for the other.

        w <- w - eta grad_w L_trainA(w, alpha, beta)
        (alpha, beta) <- (alpha, beta) - xi grad_(alpha, beta) L_trainB(w, alpha, beta)

    Reference:
      Liu et al., Auto-DeepLab, section 4.1, first order, https://arxiv.org/abs/1901.02985.

    Example:
      >>> import adl_tf
      >>> space = adl_tf.SearchSpace(num_layers=2, num_blocks=1, filter_multiplier=2,
      ...                            num_levels=2, ops=("none", "skip_connect", "max_pool_3x3"))
      >>> model = AlternatingModel(Supernet(space, num_classes=3))
      >>> model.compile(tf.keras.optimizers.SGD(0.025, 0.9), tf.keras.optimizers.Adam(0.003))
      >>> batch = tf.zeros([2, 32, 32, 3]), tf.zeros([2, 32, 32], tf.int32)
      >>> both_halves = tf.data.Dataset.from_tensors((batch, batch))
      >>> sorted(model.fit(both_halves, verbose=0).history)
      ['arch_loss', 'loss', 'miou']
      >>> genotype, probability = model.supernet.decode()

    Args:
      supernet: the network.
      weight_decay: L2 coefficient of the weights, added to their gradient.
      architecture_decay: the same for alpha and beta.
      batch_norm_training: normalise with batch statistics while training; False trains
        with the moving ones.
      ignore_label: label without loss and score.
    """

    def __init__(
        self,
        supernet: Supernet,
        weight_decay: NotNegative = 0.0003,
        architecture_decay: NotNegative = 0.001,
        batch_norm_training: bool = True,
        ignore_label: int = 255,
        **kwargs,
    ):
        super().__init__(supernet, streams=2, ignore_label=ignore_label, **kwargs)
        self.supernet = supernet
        self.weight_decay = weight_decay
        self.architecture_decay = architecture_decay
        self.batch_norm_training = batch_norm_training
        self.arch_loss_mean = tf.keras.metrics.Mean("arch_loss")

    def compile(
        self,
        weight_optimizer: Optimizer,
        architecture_optimizer: Optimizer,
        loss: Callable[..., tf.Tensor] = segmentation_loss,
        **kwargs,
    ):
        """Sets the two optimizers and their loss, which is scaled with float16.

        Args:
          weight_optimizer: optimizer of all but alpha and beta.
          architecture_optimizer: optimizer of alpha and beta.
          loss: a function with the arguments and the result of `segmentation_loss`.
          **kwargs: of `tf.keras.Model.compile`.
        """
        super().compile(**kwargs)
        self.weight_optimizer = scaling_loss(weight_optimizer)
        self.architecture_optimizer = scaling_loss(architecture_optimizer)
        self._loss_function = loss

    @property
    def metrics(self) -> List[tf.keras.metrics.Metric]:
        return [*super().metrics, self.arch_loss_mean]

    def build(self, input_shape):
        """Creates all variables, those of the optimizers too: `fit` traces more than one
        graph, and only the first may create any."""
        self.supernet.build(input_shape)
        tf.keras.layers.Layer.build(self, input_shape)
        for optimizer, variables in (
            (self.weight_optimizer, self.supernet.weight_variables),
            (self.architecture_optimizer, self.supernet.architecture_variables),
        ):
            create_variables(inner_optimizer(optimizer), variables)

    def _step(self, batch, variables, optimizer, decay, wanted):
        """One gradient step on a batch. Returns (global loss, logits)."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            logits = self.supernet(batch["image"], training=self.batch_norm_training, wanted=wanted)
            loss = self._loss_function(batch["label"], logits, self.ignore_label)
            scaled = scaled_loss(optimizer, loss)
        gradients = unscaled_gradients(optimizer, tape.gradient(scaled, variables))
        loss, gradients = sum_over_replicas((loss, gradients))
        decay = tf.constant(decay)  # One node for all variables.
        gradients = [g + decay * v for g, v in zip(gradients, variables)]
        optimizer.apply_gradients(zip(gradients, variables), experimental_aggregate_gradients=False)
        return loss, logits

    def train_step(self, data):
        """A weight step on trainA and, if there is one, an architecture step on trainB."""
        batches = self.read_batches(data)
        loss, logits = self._step(
            batches[0],
            self.supernet.weight_variables,
            self.weight_optimizer,
            self.weight_decay,
            GradientsFor.WEIGHTS,
        )
        self.loss_mean.update_state(loss)
        self.score(batches[0], logits)
        self.advance(0, batches[0])
        results = self.results()
        if len(batches) == 2:
            # Traced after the weight step: alpha and beta see the new weights.
            loss, _ = self._step(
                batches[1],
                self.supernet.architecture_variables,
                self.architecture_optimizer,
                self.architecture_decay,
                GradientsFor.ARCHITECTURE,
            )
            self.arch_loss_mean.update_state(loss)
            self.advance(1, batches[1])
            results["arch_loss"] = self.arch_loss_mean.result()
        self.average_statistics()
        return results
