"""What a search writes while it runs: metrics, architecture over time, TensorBoard."""

import os
from typing import Dict, List, Tuple

import numpy as np
from matplotlib.figure import Figure

from adl_tf.data.description import DatasetDescription
from adl_tf.models.supernet import Supernet
from adl_tf.space.decoding import decode, move_probabilities, op_probabilities
from adl_tf.space.search_space import SearchSpace
from adl_tf.training.run_log import RunLog
from adl_tf.training.run_state import append_json_line, read_json_lines
from adl_tf.visualization.alpha_map import draw_alpha
from adl_tf.visualization.architecture import draw_architecture
from adl_tf.visualization.beta_map import draw_beta

SPACE_FILE = "space.json"
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


class SearchLog(RunLog):
    """Adds the architecture to the log: its history, and how it stands as pictures.

    Args:
      model_dir: where to.
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

    def pictures(self, epochs_done: int) -> Dict[str, Figure]:
        """The architecture, alpha and beta, which are added to their history too."""
        alpha, beta = self._supernet.alpha.numpy(), self._supernet.beta.numpy()
        record_architecture(self.model_dir, epochs_done, alpha, beta)
        space = self._supernet.space
        genotype, _ = decode(space, alpha, beta)
        return {
            "architecture": draw_architecture(genotype, space, beta),
            "alpha": draw_alpha(space, op_probabilities(alpha)),
            "beta": draw_beta(space, move_probabilities(space, beta)),
        }
