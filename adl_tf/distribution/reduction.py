"""What the devices of a step have in common.

A single replica has it already. TensorFlow would register a gradient there, which is never removed
and keeps the whole graph of the step: some 50 MB for each network of a search.
"""

import tensorflow as tf


def sum_over_replicas(values):
    """The sum over all replicas of a structure of tensors; inside a replica."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return values
    return context.all_reduce(tf.distribute.ReduceOp.SUM, values)


def gather_from_replicas(values: tf.Tensor) -> tf.Tensor:
    """The vectors [n] of all replicas, one after the other; inside a replica."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return values
    # A copy has a device, which several machines need.
    return context.all_gather(tf.identity(values), axis=0)
