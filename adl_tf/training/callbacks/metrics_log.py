"""Metrics and TensorBoard events of every run, after each epoch."""

import os
import time
from typing import Dict

import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from adl_tf.data.description import DatasetDescription
from adl_tf.data.normalization import denormalize
from adl_tf.evaluation.metrics import class_ious
from adl_tf.model_directory import METRICS_FILE, append_json_line
from adl_tf.system.files import writing
from adl_tf.training.callbacks.step_times import StepTimes
from adl_tf.training.optimizers import current_rate
from adl_tf.visualization.figure import figure_to_image
from adl_tf.visualization.predictions import prediction_panel


class MetricsLog(StepTimes):
    """Writes metrics as JSON lines, and metrics and pictures as TensorBoard events.

    Args:
      model_dir: directory to write to.
      network: predicts the examples.
      optimizer: whose learning rate is logged.
      description: the data set, for the pictures.
      examples: a few batches of the validation split, for the pictures.
    """

    def __init__(
        self, model_dir: str, network, optimizer, description: DatasetDescription, examples
    ):
        super().__init__()
        self.model_dir = model_dir
        self._optimizer = optimizer
        self._description = description
        self._examples = list(examples)
        self._validation_began = self._validation = 0.0
        self._writer = tf.summary.create_file_writer(model_dir)
        self._predict = tf.function(
            lambda images: tf.argmax(network(images, training=False), -1, tf.int32),
            reduce_retracing=True,
            autograph=False,
        )

    def pictures(self) -> Dict[str, Figure]:
        """Figures by name to show with the metrics."""
        return {}

    def on_epoch_begin(self, epoch, logs=None):
        self.forget()
        self._validation = 0.0

    def on_test_begin(self, logs=None):
        self._validation_began = time.monotonic()

    def on_test_end(self, logs=None):
        self._validation = time.monotonic() - self._validation_began

    def on_epoch_end(self, epoch, logs=None):
        """Logs epoch + 1, the number of epochs done; TensorBoard gets the number of steps."""
        done = epoch + 1
        values = {name: float(value) for name, value in (logs or {}).items()}
        values["learning_rate"] = current_rate(self._optimizer)
        if np.isfinite(self.seconds_per_step):
            values["seconds_per_step"] = self.seconds_per_step
            values["validation_seconds"] = round(self._validation, 2)
        append_json_line(os.path.join(self.model_dir, METRICS_FILE), {"epoch": done, **values})
        with writing(os.path.join(self.model_dir, "events.out.tfevents")):
            self._write_events(int(self._optimizer.iterations.numpy()), values)

    def _write_events(self, step: int, values: Dict[str, float]) -> None:
        with self._writer.as_default(step):
            for name, value in values.items():
                tf.summary.scalar(name, value)
            for name, iou in self._class_ious(values).items():
                tf.summary.scalar(f"val_iou/{name}", iou)
            for name, figure in self.pictures().items():
                tf.summary.image(name, figure_to_image(figure)[None])
            for index, batch in enumerate(self._examples):
                panel = prediction_panel(
                    denormalize(batch["image"][0].numpy()),
                    batch["label"][0].numpy(),
                    self._predict(batch["image"])[0].numpy(),
                    self._description,
                )
                tf.summary.image(f"validation/{index}", panel[None])
        self._writer.flush()

    def _class_ious(self, values: Dict[str, float]) -> Dict[str, float]:
        """IoU of the classes that the validation of this epoch showed; empty without one."""
        if "val_miou" not in values:
            return {}
        # The counts are those of the validation until the next step.
        ious = class_ious(self.model.confusion.counts.numpy())
        return {n: iou for n, iou in zip(self._description.class_names, ious) if iou == iou}
