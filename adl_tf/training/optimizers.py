"""Optimizers and schedules of the search and of the training from scratch (paper, section 4)."""

from typing import List, Optional, Sequence, Union

import tensorflow as tf

from adl_tf.layers.variables import of_one_name
from adl_tf.system.settings import Count, NotNegative, Number, PartialShare, Positive, configurable
from adl_tf.training.addons import MovingAverage

# The legacy optimizers update a variable with one fused kernel; the newer ones take
# a handful, which is slower for hundreds of small variables.
_SGD = tf.keras.optimizers.legacy.SGD
_Adam = tf.keras.optimizers.legacy.Adam

Optimizer = Union[tf.keras.optimizers.legacy.Optimizer, tf.keras.optimizers.Optimizer]


@configurable
def weight_optimizer(
    total_steps: Count,
    initial_rate: Positive = 0.025,
    final_rate: NotNegative = 0.001,
    momentum: PartialShare = 0.9,
) -> Optimizer:
    """SGD with momentum and cosine decay of the rate over all steps of a search."""
    schedule = tf.keras.optimizers.schedules.CosineDecay(
        initial_rate, total_steps, alpha=final_rate / initial_rate
    )
    return _SGD(schedule, momentum=momentum)


@configurable
def architecture_optimizer(
    total_steps: Number, rate: Optional[Positive] = None, wander: Positive = 0.3
) -> Optimizer:
    """Adam for alpha and beta.

    A step of Adam moves a logit by up to its rate, whatever the size of the gradient: on gradients
    that are all noise a logit walks at random and ends about rate * sqrt(steps) from its start. So
    the rate that keeps noise from deciding falls with the square root of the steps; for the 15 000
    steps of the paper it is about the paper's, 0.003.

    Args:
      total_steps: architecture steps of the run.
      rate: learning rate; None for wander / sqrt(total_steps).
      wander: how far noise alone may move a logit in the whole run.
    """
    return _Adam(wander / max(1, total_steps) ** 0.5 if rate is None else rate)


def walk_of_noise(optimizer: Optimizer) -> float:
    """How far an Adam has moved each variable by now, if all gradients were noise; about."""
    steps, rate = int(optimizer.iterations.numpy()), optimizer.learning_rate
    rate = rate(steps) if callable(rate) else rate
    return float(tf.keras.backend.get_value(rate)) * steps**0.5


@configurable
def training_optimizer(
    total_steps: Count,
    initial_rate: NotNegative = 0.05,
    power: NotNegative = 0.9,
    momentum: PartialShare = 0.9,
    average_decay: Optional[PartialShare] = None,
    warmup: PartialShare = 0.0,
) -> Optimizer:
    """SGD with momentum; its rate falls to 0 as (1 - step / total_steps) ** power.

    Args:
      total_steps: steps of the run.
      initial_rate: learning rate of the first step, without a warm-up.
      power: power of the schedule.
      momentum: momentum of SGD.
      average_decay: decay of the moving average of the weights that is scored and saved as
        result; None scores the weights themselves.
      warmup: share of the steps in which a factor of the rate rises linearly to 1.
    """
    optimizer = _SGD(_decay(initial_rate, total_steps, power, warmup), momentum=momentum)
    return _averaged(optimizer, average_decay)


@configurable
def adam_optimizer(
    total_steps: Count,
    initial_rate: NotNegative = 0.001,
    power: NotNegative = 0.9,
    average_decay: Optional[PartialShare] = None,
    warmup: PartialShare = 0.0,
) -> Optimizer:
    """Adam with the schedule of `training_optimizer`: gets further in short trainings.

    Args:
      total_steps: steps of the run.
      initial_rate: learning rate of the first step, without a warm-up.
      power: power of the schedule.
      average_decay: see `training_optimizer`.
      warmup: see `training_optimizer`.
    """
    return _averaged(_Adam(_decay(initial_rate, total_steps, power, warmup)), average_decay)


def _decay(initial_rate: float, total_steps: int, power: float, warmup: float):
    if warmup:
        return _RisingDecay(initial_rate, total_steps, power, max(1, round(warmup * total_steps)))
    return tf.keras.optimizers.schedules.PolynomialDecay(
        initial_rate, total_steps, end_learning_rate=0.0, power=power
    )


@tf.keras.utils.register_keras_serializable("adl_tf")
class _RisingDecay(tf.keras.optimizers.schedules.LearningRateSchedule):
    """The polynomial decay to 0, times a factor that rises linearly to 1 in the first steps."""

    def __init__(self, initial_rate: float, total_steps: int, power: float, rising_steps: int):
        self._config = {
            "initial_rate": initial_rate,
            "total_steps": total_steps,
            "power": power,
            "rising_steps": rising_steps,
        }
        self._decay = _decay(initial_rate, total_steps, power, 0.0)

    def __call__(self, step):
        share = (tf.cast(step, tf.float32) + 1) / self._config["rising_steps"]
        return self._decay(step) * tf.minimum(share, 1.0)

    def get_config(self):
        return self._config


def _averaged(optimizer: Optimizer, average_decay: Optional[float]) -> Optimizer:
    if average_decay is None:
        return optimizer
    # Young averages follow the weights more closely.
    return MovingAverage(optimizer, average_decay=average_decay, dynamic_decay=True)


def create_variables(optimizer: Optimizer, variables: Sequence[tf.Variable]) -> None:
    """Creates the variables of an optimizer, which its first step would otherwise create."""
    with of_one_name("optimizer"):
        if isinstance(optimizer, tf.keras.optimizers.legacy.Optimizer):
            # Private in Keras 2.15: publicly, a legacy optimizer creates them only in a step.
            optimizer._create_all_weights(variables)
        else:
            optimizer.build(variables)


def current_rate(optimizer: Optimizer) -> float:
    """The learning rate of the next step."""
    rate = optimizer.learning_rate
    return float(rate(optimizer.iterations) if callable(rate) else rate)


def scaling_loss(optimizer: Optimizer) -> Optimizer:
    """An optimizer that scales the loss where layers compute in float16; otherwise the same one.

    Steps whose gradients are not finite are skipped, and the scale is halved.
    """
    if tf.keras.mixed_precision.global_policy().compute_dtype == "float16":
        return tf.keras.mixed_precision.LossScaleOptimizer(optimizer)
    return optimizer


def scales_loss(optimizer: Optimizer) -> bool:
    """Whether it is one of `scaling_loss`."""
    return isinstance(optimizer, tf.keras.mixed_precision.LossScaleOptimizer)


def inner_optimizer(optimizer: Optimizer) -> Optimizer:
    """The optimizer inside one of `scaling_loss`; any other one itself."""
    return optimizer.inner_optimizer if scales_loss(optimizer) else optimizer


def scaled_loss(optimizer: Optimizer, loss: tf.Tensor) -> tf.Tensor:
    """The loss to differentiate."""
    return optimizer.get_scaled_loss(loss) if scales_loss(optimizer) else loss


def unscaled_gradients(optimizer: Optimizer, gradients: List[tf.Tensor]) -> List[tf.Tensor]:
    """The gradients of the loss, from those of `scaled_loss`."""
    return optimizer.get_unscaled_gradients(gradients) if scales_loss(optimizer) else gradients
