"""The part of a stream that one process reads."""

from typing import NamedTuple

import tensorflow as tf


class Shard(NamedTuple):
    """A part of a stream; the default is all of it.

    The batches of all replicas of all shards, one after the other, are those of the whole stream:
    each shard takes as many in a row as it has replicas, and leaves the next ones to the next
    shard.

    Attributes:
      index: index of the shard.
      count: how many there are.
      replicas: devices that share each shard.
    """

    index: int = 0
    count: int = 1
    replicas: int = 1

    @property
    def total(self) -> int:
        """Replicas of all shards."""
        return self.count * self.replicas

    def select(self, elements: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
        """The elements of this shard.

        Args:
          elements: the whole stream, not batched; best as numbers, before anything is read.
          batch_size: batch size of a replica.
        """
        if self.count == 1:
            return elements
        return elements.batch(batch_size * self.replicas).shard(self.count, self.index).unbatch()


WHOLE = Shard()
