"""The moving average of weights, for TensorFlow versions that tensorflow-addons has none for."""

import tensorflow as tf

_AVERAGE = "average"


class MovingAverage(tf.keras.optimizers.legacy.Optimizer):
    """An optimizer that keeps an exponential moving average of what it trains.

    Values and names in checkpoints are those of the class of the same name in tensorflow-addons,
    as far as this package uses it: with step t = 0, 1, ... counted before the update,

        average <- average - (average - variable) (1 - d),    d = min(decay, (1 + t) / (10 + t))

    where d is the decay itself without `dynamic_decay`.

    Reference:
      The schedule of d: https://www.tensorflow.org/api_docs/python/tf/train/ExponentialMovingAverage

    Args:
      optimizer: a legacy optimizer that updates the variables.
      average_decay: decay of the average.
      dynamic_decay: whether young averages follow the variables more closely.
      name: name of the optimizer.
    """

    def __init__(
        self,
        optimizer: tf.keras.optimizers.legacy.Optimizer,
        average_decay: float = 0.99,
        dynamic_decay: bool = False,
        name: str = "MovingAverage",
        **kwargs,
    ):
        super().__init__(name, **kwargs)
        self._optimizer = optimizer
        self._track_trackable(optimizer, "awg_optimizer")
        self._average_decay = average_decay
        self._dynamic_decay = dynamic_decay

    def get_config(self):
        return {
            **super().get_config(),
            "optimizer": tf.keras.optimizers.serialize(self._optimizer),
            "average_decay": self._average_decay,
            "dynamic_decay": self._dynamic_decay,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        optimizer = tf.keras.optimizers.deserialize(
            config["optimizer"], custom_objects=custom_objects, use_legacy_optimizer=True
        )
        return cls(**{**config, "optimizer": optimizer})

    @property
    def learning_rate(self):
        """That of the optimizer inside."""
        return self._optimizer.learning_rate

    @property
    def weights(self):
        return self._weights + self._optimizer.weights

    def assign_average_vars(self, var_list) -> None:
        """Gives variables their averages."""
        for variable in var_list:
            variable.assign(self.get_slot(variable, _AVERAGE))

    def apply_gradients(self, grads_and_vars, name=None, **kwargs):
        self._optimizer._iterations = self.iterations  # Both count the same steps.
        return super().apply_gradients(grads_and_vars, name, **kwargs)

    def _create_hypers(self):
        self._optimizer._create_hypers()

    def _create_slots(self, var_list):
        self._optimizer._create_slots(var_list)
        for variable in var_list:
            self.add_slot(variable, _AVERAGE, variable.read_value())

    def _prepare_local(self, var_device, var_dtype, apply_state):
        self._optimizer._prepare_local(var_device, var_dtype, apply_state)
        decay = tf.constant(self._average_decay, tf.float32)
        if self._dynamic_decay:
            step = tf.cast(self.iterations, tf.float32)
            decay = tf.minimum(decay, (1.0 + step) / (10.0 + step))
        apply_state[var_device, var_dtype]["average_decay"] = tf.cast(decay, var_dtype)

    def _resource_apply_dense(self, grad, handle, apply_state=None):
        update = self._optimizer._resource_apply_dense(grad, handle, apply_state=apply_state)
        average = self.get_slot(handle, _AVERAGE)
        decay = apply_state[handle.device, handle.dtype.base_dtype]["average_decay"]
        with tf.control_dependencies([update]):
            averaged = average.assign_sub((average - handle) * (1.0 - decay))
        return tf.group(update, averaged)
