"""Functions with gradients of their own."""

import functools
from typing import Callable

import tensorflow as tf

# Private in TensorFlow 2.15 and 2.21; `tf.custom_gradient` is the public way. In a graph that adds
# an identity of every argument, and the tape zeros for the gradient of each: two fifths of the
# main graph of a supernet's step, none of which is ever run.
from tensorflow.python.eager import record


def custom_gradient(function: Callable) -> Callable:
    """As `tf.custom_gradient`, for gradients by a `tf.GradientTape` around the calls.

    Args:
      function: maps tensors to (result, gradient): a tensor or a structure of tensors; and a
        function that maps the gradient of each tensor of it to those of the arguments, in a list
        if there are several. It must make new tensors, and reads variables only as arguments.
    """

    @functools.wraps(function)
    def call(*arguments):
        arguments = [tf.convert_to_tensor(argument) for argument in arguments]
        with record.stop_recording():
            result, gradient = function(*arguments)

        def backward(*gradients):
            return tf.nest.flatten(gradient(*gradients))

        record.record_operation(function.__name__, tf.nest.flatten(result), arguments, backward)
        return result

    return call
