"""The common base of the Keras models for search and training."""

from typing import Any, Dict, List

import tensorflow as tf

from adl_tf.data.normalization import require_normalized
from adl_tf.distribution.reduction import gather_from_replicas, sum_over_replicas
from adl_tf.evaluation.metrics import ConfusionMatrix, mean_iou
from adl_tf.models.image_network import ImageNetwork
from adl_tf.training.losses import segmentation_loss


def check_batch(batch) -> Dict[str, Any]:
    """A batch as a dict, whatever it came as.

    Args:
      batch: (image, label), or a dict of the two and more; tensors, arrays, or anything else with a
        shape and a dtype. Images are float [B, H, W, 3] in [-1, 1], labels integers [B, H, W].

    Raises:
      ValueError: something else, integer images, or labels that are not integers.
    """
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        batch = {"image": batch[0], "label": batch[1]}
    if not isinstance(batch, dict) or not {"image", "label"} <= set(batch):
        found = sorted(batch) if isinstance(batch, dict) else type(batch).__name__
        raise ValueError(
            f"a batch is {found}; it must be (image, label), or a dict with 'image' and 'label'."
        )
    require_normalized(batch["image"])
    dtype, shape = tf.as_dtype(batch["label"].dtype), tf.TensorShape(batch["label"].shape)
    if not dtype.is_integer or shape.rank not in (3, None):
        raise ValueError(f"labels are {dtype.name} {shape}; they must be integers [B, H, W].")
    return batch


class SegmentationModel(tf.keras.Model):
    """A network with loss, scores and its positions in the training streams.

    Data are batches as `check_batch` takes them, among them those of `adl_tf.data`, or tuples of
    one batch from each training stream.

    Args:
      network: maps images to logits; has `num_classes`.
      streams: number of training streams.
      ignore_label: label without loss and score.

    Attributes:
      positions: int64 variables, where each stream resumes after the last step.
    """

    def __init__(self, network, streams: int = 1, ignore_label: int = 255, **kwargs):
        super().__init__(**kwargs)
        # Metrics are those of all devices already; Keras would add up those of several machines.
        self.distribute_reduction_method = "first"
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

    def fit(self, x=None, y=None, *args, **kwargs):
        """Trains, and first builds what is not built yet; see `tf.keras.Model.fit`.

        Raises:
          ValueError: data that the model cannot train on, see `check_batch`.
        """
        # Before Keras would wrap what is wrong in lines of its own.
        if isinstance(x, tf.data.Dataset):
            self._prepare(x.element_spec)
        elif y is not None:
            self._prepare((x, y))
        return super().fit(x, y, *args, **kwargs)

    def evaluate(self, *args, return_dict: bool = False, **kwargs):
        """Scores images, also for `fit`; see `tf.keras.Model.evaluate`.

        The mIoU has all digits of that of `evaluate_network`. Nothing is compiled with XLA, which
        rounds in another way, and would compile each image size anew.
        """
        compiled, self._jit_compile = self._jit_compile, False
        try:
            results = super().evaluate(*args, return_dict=True, **kwargs)
        finally:
            self._jit_compile = compiled
        results["miou"] = mean_iou(self.confusion.counts.numpy())
        return results if return_dict else [results[name] for name in self.metrics_names]

    def _prepare(self, data) -> None:
        images = self._check_batches(data)[0]["image"]
        if isinstance(self.network, ImageNetwork):
            self.network.check_images(images)
        if not self.built and self.optimizer is not None:
            with self.distribute_strategy.scope():
                self.build(tf.TensorShape(images.shape))

    def _check_batches(self, data) -> List[Dict[str, Any]]:
        """The batches of a step, one of each stream, checked."""
        # A batch is a dict or (image, label); a tuple that begins with a batch has one per stream,
        # as zipped streams give them to alternating steps.
        zipped = isinstance(data, (tuple, list)) and isinstance(data[0], (tuple, list, dict))
        batches = list(data) if zipped else [data]
        if len(batches) > len(self.positions):
            raise ValueError(
                f"a step has {len(batches)} batches; {type(self).__name__} takes at most "
                f"{len(self.positions)}."
            )
        return [check_batch(batch) for batch in batches]

    def read_batches(self, data) -> List[Dict[str, tf.Tensor]]:
        """The batches of a step as dicts, one of each stream; the place that data is normalised.

        Args:
          data: an element of the data, see the class.

        Returns:
          for each batch: image, float [B, H, W, 3], label, int32 [B, H, W], and its other entries.
        """
        return [
            {**batch, "label": tf.cast(batch["label"], tf.int32)}
            for batch in self._check_batches(data)
        ]

    def call(self, images, training=False):
        """Logits, see the network's own `call`."""
        return self.network(images, training=training)

    def score(self, batch, logits) -> None:
        """Adds the predictions for a batch to the confusion matrix."""
        self.confusion.update_state(batch["label"], tf.argmax(logits, -1, tf.int32))

    def advance(self, stream: int, batch) -> None:
        """Moves a stream's position past a batch, if the batch gives its position."""
        if "position" not in batch:
            return
        positions = gather_from_replicas(batch["position"])
        self.positions[stream].assign(tf.reduce_max(positions) + 1)

    def average_statistics(self) -> None:
        """Makes the moving statistics of batch norm, on all devices, their mean.

        They would be averaged anyway when they are read, saved included; but a run that
        resumes there would not have the bits of one that was never saved.
        """
        if self.distribute_strategy.num_replicas_in_sync == 1:
            return
        of_device = tf.VariableSynchronization.ON_READ
        variables = self.network.non_trainable_variables
        variables = [v for v in variables if v.synchronization == of_device]
        if not variables:
            return
        means = tf.distribute.get_replica_context().all_reduce(
            tf.distribute.ReduceOp.MEAN, [v.read_value() for v in variables]
        )
        for variable, mean in zip(variables, means):
            variable.assign(mean)

    def results(self):
        """Loss and mIoU so far."""
        return {"loss": self.loss_mean.result(), "miou": self.confusion.result()}

    def scored_network(self):
        """The network that `evaluate` scores."""
        return self.network

    def validation_loss(self, batch, logits) -> tf.Tensor:
        """This replica's share of the loss of a batch that is scored."""
        return segmentation_loss(batch["label"], logits, self.ignore_label)

    def test_step(self, data):
        """Scores a batch as `Predictor` labels it."""
        (batch,) = self.read_batches(data)
        logits = self.scored_network()(batch["image"], training=False)
        loss = sum_over_replicas(self.validation_loss(batch, logits))
        self.loss_mean.update_state(loss)
        # Where rounding makes two probabilities equal, the first one counts there.
        self.score(batch, tf.nn.softmax(logits))
        return self.results()
