"""The architecture over the epochs of a search: its history, and its pictures in TensorBoard."""

import os
from typing import Dict, List, Tuple

import numpy as np
from matplotlib.figure import Figure

from adl_tf.data.description import DatasetDescription
from adl_tf.model_directory import ARCHITECTURE_FILE, append_json_line, read_json_lines
from adl_tf.models.supernet import Supernet
from adl_tf.space.decision import measure_decision
from adl_tf.space.decoding import decode
from adl_tf.space.relaxed import RelaxedArchitecture
from adl_tf.space.search_space import SearchSpace
from adl_tf.training.callbacks.metrics_log import MetricsLog
from adl_tf.visualization.alpha_map import draw_alpha
from adl_tf.visualization.architecture import draw_architecture
from adl_tf.visualization.beta_map import draw_beta

History = List[Tuple[int, RelaxedArchitecture]]


def record_architecture(model_dir: str, epoch: int, relaxed: RelaxedArchitecture) -> None:
    """Adds alpha and beta, as logits, to the model directory's history."""
    append_json_line(
        os.path.join(model_dir, ARCHITECTURE_FILE),
        {"epoch": epoch, "alpha": relaxed.alpha.tolist(), "beta": relaxed.beta.tolist()},
    )


def architecture_history(model_dir: str, space: SearchSpace) -> History:
    """Alpha and beta by epoch, oldest first.

    Raises:
      ValueError: a line is damaged.
    """
    path = os.path.join(model_dir, ARCHITECTURE_FILE)
    lines = read_json_lines(path, key="epoch", of=int)
    history = []
    for epoch in sorted(lines):
        try:
            # A space of one layer has an empty beta, whose shape JSON does not keep.
            alpha = np.reshape(np.array(lines[epoch]["alpha"], float), space.alpha_shape)
            beta = np.reshape(np.array(lines[epoch]["beta"], float), space.beta_shape)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path}: the line of epoch {epoch} is damaged ({error}); remove it."
            ) from error
        history.append((epoch, RelaxedArchitecture(space, alpha, beta)))
    return history


class ArchitectureLog(MetricsLog):
    """Adds the architecture to the metrics: its history, how much of it is decided, pictures.

    Args:
      model_dir: directory to write to.
      supernet: the network that is searched.
      optimizer: optimizer of its weights.
      description: the data set, for the pictures.
      examples: a few batches of the validation split, for the pictures.
    """

    def __init__(
        self,
        model_dir: str,
        supernet: Supernet,
        optimizer,
        description: DatasetDescription,
        examples,
    ):
        super().__init__(model_dir, supernet, optimizer, description, examples)
        self._supernet = supernet

    def on_epoch_end(self, epoch, logs=None):
        """Logs epoch + 1, the number of epochs done."""
        relaxed = self._supernet.architecture()
        record_architecture(self.model_dir, epoch + 1, relaxed)
        super().on_epoch_end(epoch, {**(logs or {}), **measure_decision(relaxed).numbers()})

    def pictures(self) -> Dict[str, Figure]:
        """The decoded architecture, alpha and beta."""
        relaxed = self._supernet.architecture()
        genotype, _ = decode(relaxed)
        return {
            "architecture": draw_architecture(genotype, relaxed),
            "alpha": draw_alpha(relaxed),
            "beta": draw_beta(relaxed),
        }
