"""What a training keeps as its result, and when it must not go on."""

import math

import tensorflow as tf

from adl_tf.models.network import save_weights
from adl_tf.training.training_model import TrainingModel


class ResultWeights(tf.keras.callbacks.Callback):
    """Keeps the network's weights after each validation, and those that scored best.

    Args:
      model_dir: gets the checkpoints "last" and "best".
      training_model: the model that `fit` trains.

    Attributes:
      best: float32 variable, the best val_miou so far; -1 before the first.
    """

    def __init__(self, model_dir: str, training_model: TrainingModel):
        super().__init__()
        self._model_dir = model_dir
        self._training_model = training_model
        self.best = tf.Variable(-1.0, trainable=False)

    def describe(self) -> str:
        """The best score in words, empty before there is one."""
        return f"best val_miou: {float(self.best):.4f}" if self.best >= 0 else ""

    def on_epoch_end(self, epoch, logs=None):
        with self._training_model.averaged_weights():
            network = self._training_model.network
            save_weights(network, self._model_dir, "last")
            if logs["val_miou"] > float(self.best):
                self.best.assign(logs["val_miou"])
                save_weights(network, self._model_dir, "best")


class StopWhenNotFinite(tf.keras.callbacks.Callback):
    """Ends a run one of whose losses stopped being a number, before anything is saved.

    To be the first of the callbacks.

    Args:
      model_dir: of the run, for the message.
      optimizer: of the weights; counts the steps.
      rates: the bindings to lower, for the message.
    """

    def __init__(self, model_dir: str, optimizer, rates: str):
        super().__init__()
        self._model_dir = model_dir
        self._optimizer = optimizer
        self._rates = rates

    def on_train_batch_end(self, batch, logs=None):
        # A search has a second loss while it alternates.
        losses = [logs[name] for name in ("loss", "arch_loss") if name in logs]
        if not all(map(math.isfinite, losses)):
            step = int(self._optimizer.iterations.numpy())
            raise ValueError(
                f"the loss is not a finite number at step {step}; the last good checkpoint is "
                f"kept in {self._model_dir}. Lower {self._rates}, or look for "
                "broken images; the same command goes on from that checkpoint."
            )
