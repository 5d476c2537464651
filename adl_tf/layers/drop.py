"""Random zeros in training that a resumed run repeats bit for bit."""

import zlib
from typing import Optional

import tensorflow as tf


@tf.keras.utils.register_keras_serializable(package="adl_tf")
class Drop(tf.keras.layers.Layer):
    """Dropout whose draws depend on step, replica and place, not on a generator's state.

    Args:
      whole_examples: drop an example's whole feature map (ScheduledDropPath,
        https://arxiv.org/abs/1707.07012, section 3), not single values.

    Attributes:
      schedule: float32 variable [2], set before each step: the share to drop, initially 0, and the
        number of the step, which is the seed.
    """

    def __init__(self, whole_examples: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.whole_examples = whole_examples

    def get_config(self):
        return {**super().get_config(), "whole_examples": self.whole_examples}

    def build(self, input_shape):
        self.schedule = self.add_weight(
            name="schedule",
            shape=(2,),
            initializer="zeros",
            trainable=False,
            dtype=tf.float32,
            experimental_autocast=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        super().build(input_shape)

    def call(self, x, place: Optional[str] = None, training=False):
        """Drops values of x and scales up the rest, so that the mean stays the same.

        Args:
          x: [B, H, W, C].
          place: gives each of several calls its own draws; for a single call, the layer's name.
          training: False leaves x as it is.

        Returns:
          [B, H, W, C].
        """
        if not training:
            return x
        rate, step = tf.unstack(self.schedule)
        context = tf.distribute.get_replica_context()
        replica = context.replica_id_in_sync_group if context else 0
        seed = [zlib.crc32((place or self.name).encode()) // 2 + replica, tf.cast(step, tf.int32)]
        shape = [tf.shape(x)[0], 1, 1, 1] if self.whole_examples else tf.shape(x)
        draw = tf.random.stateless_uniform(shape, seed)
        scale = tf.where(draw < 1.0 - rate, 1.0 / (1.0 - rate), 0.0)
        return x * tf.cast(scale, x.dtype)
