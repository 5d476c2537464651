"""The common base of the Keras models for search and training."""

from typing import List

import tensorflow as tf

from adl_tf.evaluation.metrics import ConfusionMatrix
from adl_tf.training.losses import segmentation_loss


class SegmentationModel(tf.keras.Model):
    """A network with loss, scores and its positions in the training streams.

    Data are batches as `adl_tf.data` streams them.

    Args:
      network: maps images to logits; has `num_classes`.
      streams: number of training streams.
      ignore_label: label without loss and score.

    Attributes:
      positions: int64 variables, where each stream resumes after the last step.
    """

    def __init__(self, network, streams: int = 1, ignore_label: int = 255, **kwargs):
        super().__init__(**kwargs)
        self.network = network
        self.ignore_label = ignore_label
        self.loss_mean = tf.keras.metrics.Mean("loss")
        self.confusion = ConfusionMatrix(network.num_classes, ignore_label, name="miou")
        self.positions = [
            tf.Variable(
                0,
                trainable=False,
                dtype=tf.int64,
                name=f"position_{stream}",
                aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
            )
            for stream in range(streams)
        ]

    @property
    def metrics(self) -> List[tf.keras.metrics.Metric]:
        return [self.loss_mean, self.confusion]

    def call(self, images, training=False):
        """Logits, see the network's own `call`."""
        return self.network(images, training=training)

    def score(self, batch, logits) -> None:
        """Adds the predictions for a batch to the confusion matrix."""
        self.confusion.update_state(batch["label"], tf.argmax(logits, -1, tf.int32))

    def advance(self, stream: int, batch) -> None:
        """Moves a stream's position past a batch."""
        positions = tf.distribute.get_replica_context().all_gather(batch["position"], axis=0)
        self.positions[stream].assign(tf.reduce_max(positions) + 1)

    def results(self):
        """Loss and mIoU so far."""
        return {"loss": self.loss_mean.result(), "miou": self.confusion.result()}

    def test_step(self, data):
        """Scores a batch as it is streamed for evaluation."""
        logits = self.network(data["image"], training=False)
        loss = segmentation_loss(data["label"], logits, self.ignore_label)
        context = tf.distribute.get_replica_context()
        self.loss_mean.update_state(context.all_reduce(tf.distribute.ReduceOp.SUM, loss))
        self.score(data, logits)
        return self.results()
