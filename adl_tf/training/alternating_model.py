"""Bilevel search as alternating gradient steps (paper, section 4.1; first order)."""

from typing import List

import gin
import tensorflow as tf

from adl_tf.evaluation.metrics import ConfusionMatrix
from adl_tf.layers.gated_cell import ARCHITECTURE, WEIGHTS
from adl_tf.models.supernet import Supernet
from adl_tf.training.losses import segmentation_loss


@gin.configurable
class AlternatingModel(tf.keras.Model):
    """Trains a supernet with `fit`.

    Elements of the training data are batches as `adl_tf.data` streams them:
    `(trainA,)` for a step of the weights alone, `(trainA, trainB)` for that and a step
    of alpha and beta on trainB. Which of the two is fixed when a graph is traced, so
    that weight steps alone pay nothing for the other.

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
        weight_decay: float = 0.0003,
        architecture_decay: float = 0.001,
        batch_norm_training: bool = True,
        ignore_label: int = 255,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.supernet = supernet
        self.weight_decay = weight_decay
        self.architecture_decay = architecture_decay
        self.batch_norm_training = batch_norm_training
        self.ignore_label = ignore_label
        self.loss_mean = tf.keras.metrics.Mean("loss")
        self.arch_loss_mean = tf.keras.metrics.Mean("arch_loss")
        self.confusion = ConfusionMatrix(supernet.num_classes, ignore_label, name="miou")
        # Where each stream goes on after the last step.
        self.positions = [
            tf.Variable(
                0,
                trainable=False,
                dtype=tf.int64,
                name=f"position_{half}",
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )
            for half in "ab"
        ]

    def compile(self, weight_optimizer, architecture_optimizer, **kwargs):
        """Sets the two optimizers; further arguments are those of `tf.keras.Model.compile`."""
        super().compile(**kwargs)
        self.weight_optimizer = weight_optimizer
        self.architecture_optimizer = architecture_optimizer

    @property
    def metrics(self) -> List[tf.keras.metrics.Metric]:
        return [self.loss_mean, self.arch_loss_mean, self.confusion]

    def build(self, input_shape):
        """Creates all variables, those of the optimizers too: `fit` traces more than one
        graph, and only the first may create any."""
        self.supernet.build(input_shape)
        tf.keras.layers.Layer.build(self, input_shape)
        self.weight_optimizer._create_all_weights(self.supernet.weight_variables)
        self.architecture_optimizer._create_all_weights(self.supernet.architecture_variables)

    def call(self, images, training=False):
        """Logits, see `Supernet.call`."""
        return self.supernet(images, training=training)

    def _step(self, batch, variables, optimizer, decay, wanted):
        """One gradient step on a batch. Returns (global loss, logits)."""
        context = tf.distribute.get_replica_context()
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            logits = self.supernet(batch["image"], training=self.batch_norm_training, wanted=wanted)
            loss = segmentation_loss(batch["label"], logits, self.ignore_label)
        gradients = tape.gradient(loss, variables)
        loss, gradients = context.all_reduce(tf.distribute.ReduceOp.SUM, (loss, gradients))
        gradients = [g + decay * v for g, v in zip(gradients, variables)]
        optimizer.apply_gradients(zip(gradients, variables), experimental_aggregate_gradients=False)
        return loss, logits

    def _advance(self, position, batch):
        positions = tf.distribute.get_replica_context().all_gather(batch["position"], axis=0)
        position.assign(tf.reduce_max(positions) + 1)

    def train_step(self, data):
        """A weight step on trainA and, if there is one, an architecture step on trainB."""
        loss, logits = self._step(
            data[0],
            self.supernet.weight_variables,
            self.weight_optimizer,
            self.weight_decay,
            WEIGHTS,
        )
        self.loss_mean.update_state(loss)
        self.confusion.update_state(data[0]["label"], tf.argmax(logits, -1, tf.int32))
        self._advance(self.positions[0], data[0])
        results = {"loss": self.loss_mean.result(), "miou": self.confusion.result()}
        if len(data) == 2:
            # Traced after the weight step: alpha and beta see the new weights.
            loss, _ = self._step(
                data[1],
                self.supernet.architecture_variables,
                self.architecture_optimizer,
                self.architecture_decay,
                ARCHITECTURE,
            )
            self.arch_loss_mean.update_state(loss)
            self._advance(self.positions[1], data[1])
            results["arch_loss"] = self.arch_loss_mean.result()
        return results

    def test_step(self, data):
        """Scores a batch as it is streamed for evaluation."""
        logits = self.supernet(data["image"], training=False)
        loss = segmentation_loss(data["label"], logits, self.ignore_label)
        context = tf.distribute.get_replica_context()
        self.loss_mean.update_state(context.all_reduce(tf.distribute.ReduceOp.SUM, loss))
        self.confusion.update_state(data["label"], tf.argmax(logits, -1, tf.int32))
        return {"loss": self.loss_mean.result(), "miou": self.confusion.result()}
