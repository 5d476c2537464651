"""Random dropping in training: paths of cells, values after the ASPP."""

import tensorflow as tf

from adl_tf.layers.cell import Cell
from adl_tf.layers.drop import Drop
from adl_tf.system.settings import Count, PartialShare, SomeShare, configurable


def drop_rate(final_keep: float, depth: float, progress: float) -> float:
    """Share of dropped paths.

    Args:
      final_keep: share kept in the last cell at the end of the run.
      depth: place of the cell in the network, above 0 and up to 1.
      progress: place in the run, 0 to 1.
    """
    return (1.0 - final_keep) * depth * progress


@configurable
class DropPathSchedule(tf.keras.callbacks.Callback):
    """Sets the drop rate of all cells of a network before each step.

    Args:
      network: paths are dropped in its cells; without any (a baseline), nothing happens.
      optimizer: counts the steps.
      total_steps: steps of the run.
      final_keep: share of paths that the last cell keeps at the end of the run.
    """

    def __init__(self, network, optimizer, total_steps: Count, final_keep: SomeShare = 0.8):
        super().__init__()
        self._cells = [layer for layer in network.layers if isinstance(layer, Cell)]
        self._optimizer = optimizer
        self._total_steps = total_steps
        self._final_keep = final_keep

    def on_train_batch_begin(self, batch, logs=None):
        step = int(self._optimizer.iterations.numpy())
        for index, cell in enumerate(self._cells):
            depth = (index + 1) / len(self._cells)
            rate = drop_rate(self._final_keep, depth, step / self._total_steps)
            cell.drop.schedule.assign([rate, step])


@configurable
class HeadDropout(tf.keras.callbacks.Callback):
    """Sets rate and step of the dropout after the projection of the ASPP.

    Args:
      network: values are dropped in its `Drop` layer; without one (a baseline), nothing happens.
      optimizer: counts the steps.
      rate: share of values that are dropped; the reference has 0.1.

    Raises:
      ValueError: a rate outside [0, 1).
    """

    def __init__(self, network, optimizer, rate: PartialShare = 0.0):
        super().__init__()
        self._layers = [layer for layer in network.layers if isinstance(layer, Drop)]
        self._optimizer = optimizer
        self._rate = rate

    def on_train_batch_begin(self, batch, logs=None):
        step = int(self._optimizer.iterations.numpy())
        for layer in self._layers:
            layer.schedule.assign([self._rate, step])
