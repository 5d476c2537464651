"""What a search writes while it runs: metrics, architecture over time, TensorBoard."""

import os
from typing import List, Tuple

import numpy as np
import tensorflow as tf

from adl_tf.data.description import DatasetDescription
from adl_tf.data.normalization import denormalize
from adl_tf.models.supernet import Supernet
from adl_tf.space.decoding import decode, move_probabilities, op_probabilities
from adl_tf.space.search_space import SearchSpace
from adl_tf.training.run_state import append_json_line, read_json_lines
from adl_tf.visualization.architecture import draw_alpha, draw_architecture, draw_beta
from adl_tf.visualization.figure import figure_to_image
from adl_tf.visualization.predictions import prediction_panel

METRICS_FILE = "metrics.jsonl"
ARCHITECTURE_FILE = "architecture.jsonl"

History = List[Tuple[int, np.ndarray]]


def record_architecture(model_dir: str, epoch: int, alpha: np.ndarray, beta: np.ndarray) -> None:
    """Adds alpha and beta, as logits, to the model directory's history."""
    append_json_line(
        os.path.join(model_dir, ARCHITECTURE_FILE),
        {"epoch": epoch, "alpha": alpha.tolist(), "beta": beta.tolist()},
    )


def architecture_history(model_dir: str, space: SearchSpace) -> Tuple[History, History]:
    """Softmaxes of alpha and of beta by epoch, oldest first."""
    lines = read_json_lines(os.path.join(model_dir, ARCHITECTURE_FILE), key="epoch")
    epochs = sorted(lines)
    return (
        [(epoch, op_probabilities(np.array(lines[epoch]["alpha"]))) for epoch in epochs],
        [
            (epoch, move_probabilities(space, np.reshape(lines[epoch]["beta"], space.beta_shape)))
            for epoch in epochs
        ],
    )


class SearchLog(tf.keras.callbacks.Callback):
    """Writes metrics as JSON lines, the architecture's history, and TensorBoard events.

    Args:
      model_dir: where to.
      supernet: the network that is searched.
      description: the data set, for the pictures.
      examples: a few batches of the validation split, for the pictures.
    """

    def __init__(
        self, model_dir: str, supernet: Supernet, description: DatasetDescription, examples
    ):
        super().__init__()
        self._model_dir = model_dir
        self._supernet = supernet
        self._description = description
        self._examples = list(examples)
        self._writer = tf.summary.create_file_writer(model_dir)
        self._predict = tf.function(lambda images: tf.argmax(supernet(images), -1, tf.int32))

    def on_epoch_end(self, epoch, logs=None):
        """Logs epoch + 1, the number of epochs done."""
        done = epoch + 1
        values = {name: float(value) for name, value in (logs or {}).items()}
        optimizer = self.model.weight_optimizer
        values["learning_rate"] = float(optimizer.learning_rate(optimizer.iterations))
        append_json_line(os.path.join(self._model_dir, METRICS_FILE), {"epoch": done, **values})
        alpha, beta = self._supernet.alpha.numpy(), self._supernet.beta.numpy()
        record_architecture(self._model_dir, done, alpha, beta)

        space = self._supernet.space
        genotype, _ = decode(space, alpha, beta)
        pictures = {
            "architecture": draw_architecture(genotype, space, beta),
            "alpha": draw_alpha(space, op_probabilities(alpha)),
            "beta": draw_beta(space, move_probabilities(space, beta)),
        }
        with self._writer.as_default(done):
            for name, value in values.items():
                tf.summary.scalar(name, value)
            for name, figure in pictures.items():
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
