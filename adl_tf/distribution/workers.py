"""The processes of a run: their joint decisions, and the directory of each."""

import contextlib
import glob
import os
import pickle
import shutil
import tempfile
from typing import Any, Iterator, List

import numpy as np
import tensorflow as tf

from adl_tf.distribution.reduction import sum_over_replicas
from adl_tf.distribution.strategy import cluster_of
from adl_tf.system.progress import say


class Workers:
    """The processes of a run; on one machine the only one.

    What several of them call must be called by all of them, in the same order.

    Args:
      strategy: distribution strategy of the run.

    Attributes:
      is_chief: whether this process writes the run's files.
    """

    def __init__(self, strategy: tf.distribute.Strategy):
        self._strategy = strategy
        self._cluster = cluster_of(strategy)
        self.is_chief = self._cluster is None or self._cluster.index == 0
        self._sum = tf.function(
            lambda values: strategy.run(_sum_copies, args=(values,)),
            input_signature=[tf.TensorSpec([None], tf.int64)],
            autograph=False,
        )

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any of the processes."""
        return any(self.gather(flag))

    def from_chief(self, number: int) -> int:
        """The chief's number, in all processes."""
        return self.gather(number)[0]

    def gather(self, value: Any) -> List[Any]:
        """The values of all processes, by their index; of anything that can be pickled."""
        if self._cluster is None:
            return [value]
        content = np.frombuffer(pickle.dumps(value), np.uint8)
        sizes = np.zeros(len(self._cluster.addresses), np.int64)
        sizes[self._cluster.index] = len(content)
        sizes = self._add(sizes)
        table = np.zeros([len(sizes), sizes.max()], np.int64)
        table[self._cluster.index, : len(content)] = content
        table = self._add(table.ravel()).reshape(table.shape).astype(np.uint8)
        return [pickle.loads(row[:size].tobytes()) for row, size in zip(table, sizes)]

    def wait(self) -> None:
        """Returns when all processes have come here."""
        self.any(False)

    def _add(self, values: np.ndarray) -> np.ndarray:
        """Sum over the processes, int64 [N]."""
        total = self._sum(tf.constant(values, tf.int64))
        replicas = self._strategy.experimental_local_results(total)
        return replicas[0].numpy() // len(replicas)

    @contextlib.contextmanager
    def running(self, model_dir: str) -> Iterator[str]:
        """The directory that this process writes to, inside the block.

        The chief's is the run's. The others, which take part in all that reads variables of several
        devices, write to one that is removed after the block; it begins with the run's small files.
        No process outlives the others, see `Cluster.watching`.

        Args:
          model_dir: model directory of the run, which all processes can read.
        """
        if self._cluster is None:
            yield model_dir
            return
        with self._cluster.watching(), contextlib.ExitStack() as stack:
            own_dir = model_dir
            if not self.is_chief:
                name = self._cluster.name(self._cluster.index)
                say(f"This is {name}; worker 0 writes to {model_dir}.")
                own_dir = stack.enter_context(tempfile.TemporaryDirectory())
                for path in glob.glob(os.path.join(glob.escape(model_dir), "*.json*")):
                    shutil.copy(path, own_dir)
            self.wait()  # From here on the chief writes.
            yield own_dir
            self.wait()  # Who leaves first must not be taken for lost.


def _sum_copies(values):
    # A copy, since the sum goes to the device of its argument, which must have one.
    return sum_over_replicas(tf.identity(values))
