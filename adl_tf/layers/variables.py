"""Variables that the relaxed layers have in common, and how many are created quickly."""

import contextlib
import math
from typing import Iterator, Tuple

import tensorflow as tf


@contextlib.contextmanager
def of_one_name(name: str) -> Iterator[None]:
    """Gives all variables that are created inside the block one name, for those that nobody reads.

    TensorFlow makes and keeps a kernel for each name, which takes longer than the variable.
    """

    def create(next_creator, **options):
        with tf.name_scope(""):  # Without those of the layers.
            return next_creator(**{**options, "name": name})

    with tf.variable_creator_scope(create):
        yield


def add_kernel(layer: tf.keras.layers.Layer, name: str, shape: Tuple[int, ...]) -> tf.Variable:
    """A convolution's kernel [k, k, inputs, outputs], He-initialized."""
    # Depthwise kernels [k, k, channels, 1] have one input each, whatever the shape says.
    fan_in = math.prod(shape[:2]) * (1 if shape[3] == 1 else shape[2])
    return layer.add_weight(
        name=name,
        shape=shape,
        initializer=tf.keras.initializers.RandomNormal(stddev=math.sqrt(2.0 / fan_in)),
    )


def add_statistics(layer: tf.keras.layers.Layer, name: str, channels: int) -> tf.Variable:
    """Moving mean and variance [2, channels], at first 0 and 1, float32 in any precision;
    replicas average theirs."""
    return layer.add_weight(
        name=f"{name}_statistics",
        shape=(2, channels),
        initializer=lambda shape, dtype=None, **_: tf.stack(
            [tf.zeros(shape[1:]), tf.ones(shape[1:])]
        ),
        trainable=False,
        experimental_autocast=False,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.MEAN,
    )


def update_statistics(moving: tf.Variable, batch: tf.Tensor, momentum: float) -> None:
    """Moves statistics towards those of a batch."""
    moving.assign_add((batch - moving) * (1.0 - momentum))
