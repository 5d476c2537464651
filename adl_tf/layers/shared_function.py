"""Functions that many layers share: traced once, differentiated by recomputation."""

import enum
from typing import Callable, Tuple

import tensorflow as tf

from adl_tf.layers.custom_gradient import custom_gradient
from adl_tf.layers.lean_graph import lean

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


def _flatten(structure):
    """The tensors of a structure; None contributes none."""
    leaves = tf.nest.flatten(structure)
    return [tf.convert_to_tensor(leaf) for leaf in leaves if leaf is not None]


def _pack_like(structure, tensors):
    """The inverse of `_flatten`."""
    tensors = iter(tensors)
    return tf.nest.map_structure(lambda leaf: leaf if leaf is None else next(tensors), structure)


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
        self._forward = tf.function(lean(function), experimental_attributes=_CALL, autograph=False)

        def backward(sources, others, output_gradients):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(_flatten(sources))
                outputs, _ = function(**sources, **others)
            return tape.gradient(
                tf.nest.flatten(outputs),
                _flatten(sources),
                output_gradients=output_gradients,
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )

        self._backward = tf.function(lean(backward), experimental_attributes=_CALL, autograph=False)

    def __call__(self, wanted: GradientsFor, features, weights, architecture, statistics):
        """Calls the function.

        Args:
          wanted: which of the groups get gradients.
          features: feature maps that it reads.
          weights: kernels.
          architecture: what comes from alpha and beta.
          statistics: moving ones of batch norms.
        """
        groups = dict(
            features=features,
            weights=weights,
            architecture=architecture,
            statistics=statistics,
        )
        sources = {name: groups.pop(name) for name in wanted.groups}
        others = groups

        used = None

        @custom_gradient
        def call(*tensors):
            nonlocal used
            packed = _pack_like(sources, tensors)
            outputs, used = self._forward(**packed, **others)

            def gradient(*gradients):
                return self._backward(packed, others, gradients)

            return outputs, gradient

        return call(*_flatten(sources)), used
