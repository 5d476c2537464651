"""Optimizers and schedules of the search (paper, section 4.1)."""

import gin
import tensorflow as tf

# The legacy optimizers update a variable with one fused kernel; the newer ones take
# a handful, which for hundreds of small variables costs more than it brings.
_SGD = tf.keras.optimizers.legacy.SGD
_Adam = tf.keras.optimizers.legacy.Adam


@gin.configurable
def weight_optimizer(
    total_steps: int,
    initial_rate: float = 0.025,
    final_rate: float = 0.001,
    momentum: float = 0.9,
) -> tf.keras.optimizers.legacy.Optimizer:
    """SGD with momentum; its rate falls along a cosine over all steps."""
    schedule = tf.keras.optimizers.schedules.CosineDecay(
        initial_rate, total_steps, alpha=final_rate / initial_rate
    )
    return _SGD(schedule, momentum=momentum)


@gin.configurable
def architecture_optimizer(rate: float = 0.003) -> tf.keras.optimizers.legacy.Optimizer:
    """Adam for alpha and beta."""
    return _Adam(rate)
