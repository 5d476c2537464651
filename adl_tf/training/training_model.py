"""Training from scratch: gradient steps of one network (paper, section 4.2)."""

import contextlib
from typing import Callable, Optional, Tuple

import numpy as np
import tensorflow as tf

from adl_tf.distribution.reduction import sum_over_replicas
from adl_tf.layers.convolution import require_cpu_kernels
from adl_tf.layers.synchronized_norm import has_synchronized_norms
from adl_tf.models.image_network import ImageNetwork
from adl_tf.system.settings import Count, NotNegative, SomeShare, configurable
from adl_tf.training.addons import MovingAverage
from adl_tf.training.losses import weighted_loss
from adl_tf.training.optimizers import (
    Optimizer,
    create_variables,
    inner_optimizer,
    scaled_loss,
    scales_loss,
    scaling_loss,
    unscaled_gradients,
)
from adl_tf.training.segmentation_model import SegmentationModel


@configurable(unbound=["ignore_label", "scored"])
class TrainingModel(SegmentationModel):
    """Trains a network with `fit`, on batches `(image, label)` or dicts with these names.

    The gradients are those of the mean cross entropy over the labelled pixels of the whole
    batch, with class weights c, plus the weight decay d of the kernels:

        sum_pixels c_label (-log softmax(logits)_label) / sum_pixels c_label + d / 2 |kernels|^2

    Reference:
      Liu et al., Auto-DeepLab, section 4.2, https://arxiv.org/abs/1901.02985; with the poly
      schedule of `training_optimizer`, rate (1 - step / total_steps)^0.9.

    Example:
      >>> network = tf.keras.Sequential([tf.keras.layers.Conv2D(3, 1)])
      >>> network.num_classes = 3
      >>> model = TrainingModel(network)
      >>> model.compile(tf.keras.optimizers.Adam())
      >>> images, labels = tf.zeros([2, 8, 8, 3]), tf.zeros([2, 8, 8], tf.int32)
      >>> history = model.fit(tf.data.Dataset.from_tensors((images, labels)), verbose=0)
      >>> sorted(history.history)
      ['loss', 'miou']

    Args:
      network: maps float32 [B, H, W, 3] in [-1, 1] to float32 logits [B, H, W, num_classes],
        and has the attribute `num_classes`; such as `DecodedNetwork`.
      class_weights: weight of the pixels of each class in the loss; None for 1.
      weight_decay: L2 coefficient of the convolutions' kernels, added to their gradient.
      accumulation_steps: parts of a replica's batch that are computed one after the other,
        which takes the memory of one part; a divisor of its size. Batch norm sees parts.
      hard_fraction: see `weighted_loss`.
      ignore_label: label without loss and score.
      scored: the same network in float32, which gets the weights and is scored in place of one in
        another precision, as an evaluation would; None for the network itself.
    """

    def __init__(
        self,
        network,
        class_weights: Optional[np.ndarray] = None,
        weight_decay: NotNegative = 4e-5,
        accumulation_steps: Count = 1,
        hard_fraction: SomeShare = 1.0,
        ignore_label: int = 255,
        scored=None,
        **kwargs,
    ):
        super().__init__(network, ignore_label=ignore_label, **kwargs)
        self._scored = scored
        self.class_weights = class_weights
        self.weight_decay = weight_decay
        self.accumulation_steps = accumulation_steps
        self.hard_fraction = hard_fraction

    def compile(
        self,
        optimizer: Optimizer,
        loss: Callable[..., Tuple[tf.Tensor, tf.Tensor]] = weighted_loss,
        **kwargs,
    ):
        """Sets the optimizer and the loss, which is scaled with float16.

        Args:
          optimizer: optimizer of all trainable variables.
          loss: a function with the arguments and the results of `weighted_loss`.
          **kwargs: of `tf.keras.Model.compile`.
        """
        super().compile(scaling_loss(optimizer), **kwargs)
        self._loss_function = loss

    def build(self, input_shape):
        """Creates the optimizer's variables before anything is restored."""
        if isinstance(self.network, ImageNetwork):
            require_cpu_kernels()
        if self.accumulation_steps > 1 and has_synchronized_norms(self.network):
            raise ValueError(
                "RunNetwork.synchronized_batch_norm is not supported with "
                "TrainingModel.accumulation_steps above 1, whose parts come one after the other."
            )
        for network in filter(None, (self.network, self._scored)):
            if not network.built:
                network.build(input_shape)
        tf.keras.layers.Layer.build(self, input_shape)
        create_variables(inner_optimizer(self.optimizer), self.network.trainable_variables)

    @contextlib.contextmanager
    def averaged_weights(self):
        """Inside the block, the network has its averaged weights, if there are any."""
        optimizer = inner_optimizer(self.optimizer)
        if not isinstance(optimizer, MovingAverage):
            yield
            return
        variables = self.network.trainable_variables
        trained = [variable.numpy() for variable in variables]
        optimizer.assign_average_vars(variables)
        try:
            yield
        finally:
            for variable, value in zip(variables, trained):
                variable.assign(value)

    def evaluate(self, *args, **kwargs):
        """Scores the averaged weights, if there are any; see `tf.keras.Model.evaluate`."""
        with self.averaged_weights():
            if self._scored:
                for copy, variable in zip(self._scored.variables, self.network.variables):
                    copy.assign(variable)
            return super().evaluate(*args, **kwargs)

    def scored_network(self):
        """The network that `evaluate` scores."""
        return self._scored or self.network

    def validation_loss(self, batch, logits) -> tf.Tensor:
        """That of the training, class weights included, so that the two can be compared."""
        loss, weight = self._loss_function(
            batch["label"], logits, self.ignore_label, self.class_weights, self.hard_fraction
        )
        return tf.math.divide_no_nan(loss, sum_over_replicas(weight))

    def train_step(self, data):
        """One step on a batch; a non-finite loss or gradient gives a nan loss."""
        (batch,) = self.read_batches(data)
        variables = self.network.trainable_variables
        loss, weight, gradients = sum_over_replicas(self._accumulate(batch, variables))
        loss = tf.math.divide_no_nan(loss, weight)
        gradients = [tf.math.divide_no_nan(gradient, weight) for gradient in gradients]
        gradients = unscaled_gradients(self.optimizer, gradients)
        if not scales_loss(self.optimizer):
            norm = tf.linalg.global_norm(gradients)
            loss = tf.where(tf.math.is_finite(norm), loss, float("nan"))
        gradients = [
            # Batch norm's scales and offsets, and biases, are vectors.
            g + self.weight_decay * v if len(v.shape) > 1 else g
            for g, v in zip(gradients, variables)
        ]
        self.optimizer.apply_gradients(
            zip(gradients, variables), experimental_aggregate_gradients=False
        )
        self.loss_mean.update_state(loss)
        self.advance(0, batch)
        self.average_statistics()
        return self.results()

    def _accumulate(self, batch, variables):
        """Sums of (loss, weight, gradients) over the parts of the replica's batch."""
        images, labels = batch["image"], batch["label"]
        parts = self.accumulation_steps
        if parts == 1:
            return self._gradients(images, labels, variables)
        images, labels = (tf.reshape(x, [parts, -1, *x.shape[1:]]) for x in (images, labels))
        zeros = tf.zeros([]), tf.zeros([]), [tf.zeros_like(v) for v in variables]
        return tf.while_loop(
            lambda part, _: part < parts,
            lambda part, sums: (
                part + 1,
                tf.nest.map_structure(
                    tf.add, sums, self._gradients(images[part], labels[part], variables)
                ),
            ),
            (0, zeros),
            parallel_iterations=1,
        )[1]

    def _gradients(self, images, labels, variables):
        with tf.GradientTape() as tape:
            logits = self.network(images, training=True)
            loss, weight = self._loss_function(
                labels, logits, self.ignore_label, self.class_weights, self.hard_fraction
            )
            scaled = scaled_loss(self.optimizer, loss)
        gradients = tape.gradient(
            scaled, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        self.score({"label": labels}, logits)
        return loss, weight, gradients
