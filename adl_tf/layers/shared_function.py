"""Functions that many layers share: traced once, differentiated by recomputation."""

from typing import Callable, Dict, Sequence, Tuple

import tensorflow as tf

# Kept as calls in the graph: inlining would multiply the graph by the number of
# layers, and would let the runtime recompute every layer at the same time.
_CALL = {"_noinline": True}


class SharedFunction:
    """A pure function `(*tensors) -> (differentiable outputs, statistics)`.

    Equal signatures share one traced graph however many layers call it. The
    backward pass is a graph of its own that runs the forward pass again, so that
    only the arguments are kept in memory between the two passes.

    Args:
      function: maps tensors to a pair (list of outputs, list of outputs that no
        gradient passes through).
    """

    def __init__(self, function: Callable):
        self._function = function
        self._forward = tf.function(function, experimental_attributes=_CALL, autograph=False)
        self._backward: Dict[Tuple[int, ...], Callable] = {}

    def _backward_function(self, wanted: Tuple[int, ...]) -> Callable:
        if wanted not in self._backward:

            def backward(arguments, output_gradients):
                sources = [arguments[i] for i in wanted]
                with tf.GradientTape(watch_accessed_variables=False) as tape:
                    tape.watch(sources)
                    outputs, _ = self._function(*arguments)
                return tape.gradient(
                    outputs,
                    sources,
                    output_gradients=output_gradients,
                    unconnected_gradients=tf.UnconnectedGradients.ZERO,
                )

            self._backward[wanted] = tf.function(
                backward, experimental_attributes=_CALL, autograph=False
            )
        return self._backward[wanted]

    def __call__(self, *arguments: tf.Tensor, wanted: Sequence[int]):
        """Calls the function; gradients go to the arguments with indices `wanted` only."""
        backward = self._backward_function(tuple(wanted))

        @tf.custom_gradient
        def call(*arguments):
            outputs, statistics = self._forward(*arguments)

            def gradient(*output_gradients):
                gradients = [None] * len(arguments)
                computed = backward(arguments, list(output_gradients[: len(outputs)]))
                for index, value in zip(wanted, computed):
                    gradients[index] = value
                return gradients

            return (*outputs, *statistics), gradient

        return call(*arguments)
