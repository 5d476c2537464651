"""The weights that a training keeps as its result."""

import math

import tensorflow as tf

from adl_tf.model_directory import BEST, LAST
from adl_tf.models.weights import save_weights
from adl_tf.training.training_model import TrainingModel


class ResultWeights(tf.keras.callbacks.Callback):
    """Keeps the network's weights after each validation, and those that scored best: the last ones
    where nothing is scored.

    Args:
      model_dir: gets the checkpoints "last" and "best".
      training_model: the model that `fit` trains.

    Attributes:
      best: float64 variable, the best val_miou so far; -1 before the first.
    """

    def __init__(self, model_dir: str, training_model: TrainingModel):
        super().__init__()
        self._model_dir = model_dir
        self._training_model = training_model
        self.best = tf.Variable(-1.0, trainable=False, dtype=tf.float64)

    def describe(self) -> str:
        """The best score in words, empty before there is one."""
        return f"best val_miou: {float(self.best):.4f}" if self.best >= 0 else ""

    def on_epoch_end(self, epoch, logs=None):
        with self._training_model.averaged_weights():
            network = self._training_model.network
            save_weights(network, self._model_dir, LAST)
            finite = math.isfinite(logs.get("val_loss", 0.0))
            score = logs.get("val_miou")
            if score is None:
                save_weights(network, self._model_dir, BEST)
            elif finite and score > float(self.best):
                self.best.assign(score)
                save_weights(network, self._model_dir, BEST)
