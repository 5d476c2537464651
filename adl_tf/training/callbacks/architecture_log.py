"""The architecture over the epochs of a search: its history, and its pictures in TensorBoard."""

import os
from typing import Dict, List, Tuple

import numpy as np
from matplotlib.figure import Figure

from adl_tf.data.description import DatasetDescription
from adl_tf.model_directory import ARCHITECTURE_FILE, append_json_line, read_json_lines
from adl_tf.models.supernet import Supernet
from adl_tf.space.decision import measure_decision
from adl_tf.space.decoding import decode, move_probabilities, op_probabilities
from adl_tf.space.search_space import SearchSpace
from adl_tf.training.callbacks.metrics_log import MetricsLog
from adl_tf.visualization.alpha_map import draw_alpha
from adl_tf.visualization.architecture import draw_architecture
from adl_tf.visualization.beta_map import draw_beta

History = List[Tuple[int, np.ndarray]]


def record_architecture(model_dir: str, epoch: int, alpha: np.ndarray, beta: np.ndarray) -> None:
    """Adds alpha and beta, as logits, to the model directory's history."""
    append_json_line(
        os.path.join(model_dir, ARCHITECTURE_FILE),
        {"epoch": epoch, "alpha": alpha.tolist(), "beta": beta.tolist()},
    )


def architecture_history(model_dir: str, space: SearchSpace) -> Tuple[History, History]:
    """Softmaxes of alpha and of beta by epoch, oldest first.

    Raises:
      ValueError: a line is damaged.
    """
    path = os.path.join(model_dir, ARCHITECTURE_FILE)
    lines = read_json_lines(path, key="epoch", of=int)
    alphas, betas = [], []
    for epoch in sorted(lines):
        try:
            alpha = np.reshape(np.array(lines[epoch]["alpha"], float), space.alpha_shape)
            beta = np.reshape(np.array(lines[epoch]["beta"], float), space.beta_shape)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path}: the line of epoch {epoch} is damaged ({error}); remove it."
            ) from error
        alphas.append((epoch, op_probabilities(alpha)))
        betas.append((epoch, move_probabilities(space, beta)))
    return alphas, betas


class ArchitectureLog(MetricsLog):
    """Adds the architecture to the metrics: its history, how much of it is decided, pictures.

    Args:
      model_dir: directory to write to.
      supernet: the network that is searched.
      optimizer: of its weights.
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
        alpha, beta = self._supernet.architecture()
        record_architecture(self.model_dir, epoch + 1, alpha, beta)
        decision = measure_decision(self._supernet.space, alpha, beta)
        super().on_epoch_end(epoch, {**(logs or {}), **decision.numbers()})

    def pictures(self) -> Dict[str, Figure]:
        """The decoded architecture, alpha and beta."""
        alpha, beta = self._supernet.architecture()
        space = self._supernet.space
        genotype, _ = decode(space, alpha, beta)
        return {
            "architecture": draw_architecture(genotype, space, beta, alpha),
            "alpha": draw_alpha(space, op_probabilities(alpha)),
            "beta": draw_beta(space, move_probabilities(space, beta)),
        }
