"""Functions that many layers share: traced once, differentiated by recomputation."""

import enum
import functools
from typing import Callable, Tuple

import tensorflow as tf

from adl_tf.layers.custom_gradient import custom_gradient
from adl_tf.layers.lean_graph import LeanFunction, flatten, pack_like

# Kept as calls in the graph: inlining would multiply the graph by the number of
# layers, and would let the runtime recompute every layer at the same time.
_CALL = {"_noinline": True}


class GradientsFor(str, enum.Enum):
    """Which gradients a step needs, besides those of feature maps; others are not computed.

    Strings, since a SavedModel stores its functions' arguments.
    """

    WEIGHTS = "weights"
    ARCHITECTURE = "architecture"
    ALL = "all"

    @property
    def groups(self) -> Tuple[str, ...]:
        """The groups of arguments of a shared function that get a gradient."""
        return {
            GradientsFor.WEIGHTS: ("features", "weights"),
            GradientsFor.ARCHITECTURE: ("features", "architecture"),
            GradientsFor.ALL: ("features", "weights", "architecture"),
        }[self]


def _to_tensors(structure):
    """Reads variables; None stays None."""
    return tf.nest.map_structure(
        lambda leaf: leaf if leaf is None else tf.convert_to_tensor(leaf), structure
    )


class SharedFunction:
    """A pure function of feature maps, weights, architecture and statistics.

    Equal signatures share one traced graph however many layers call it. The
    backward pass is a graph of its own that runs the forward pass again, so that
    only the arguments are kept in memory between the two passes.

    Args:
      function: maps (features, weights, architecture, statistics), each a structure of tensors or
        None, to (outputs, statistics used); no gradient passes to or through statistics.
    """

    def __init__(self, function: Callable):
        def forward(groups, statistics):
            return function(**groups, statistics=statistics)

        def backward(groups, statistics, output_gradients):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(flatten(groups))
                outputs, _ = function(**groups, statistics=statistics)
            gradients = tape.gradient(
                tf.nest.flatten(outputs),
                flatten(groups),
                output_gradients=output_gradients,
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
            return pack_like(groups, gradients)

        # Traced once for all gradients, of which each step takes those that it needs.
        gradients = LeanFunction(backward)
        self._forward = _call(LeanFunction(forward).part())
        self._backward = {
            wanted: _call(gradients.part(functools.partial(_gradients_of, wanted.groups)))
            for wanted in GradientsFor
        }

    def __call__(self, wanted: GradientsFor, features, weights, architecture, statistics):
        """Calls the function.

        Args:
          wanted: which of the groups get gradients.
          features: feature maps that it reads.
          weights: kernels.
          architecture: what comes from alpha and beta.
          statistics: moving ones of batch norms.
        """
        groups = dict(features=features, weights=weights, architecture=architecture)
        # Read here, not inside: gradients go to the variables.
        statistics, groups = _to_tensors(statistics), _to_tensors(groups)
        sources = {name: groups[name] for name in wanted.groups}
        used = None

        @custom_gradient
        def call(*tensors):
            nonlocal used
            packed = {**groups, **pack_like(sources, tensors)}
            outputs, used = self._forward(packed, statistics)

            def gradient(*gradients):
                return flatten(self._backward[wanted](packed, statistics, gradients))

            return outputs, gradient

        return call(*flatten(sources)), used


def _call(function: Callable):
    """As a function that stays a call in graphs."""
    return tf.function(function, experimental_attributes=_CALL, autograph=False)


def _gradients_of(groups: Tuple[str, ...], gradients):
    return {name: gradients[name] for name in groups}
