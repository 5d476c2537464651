"""Functions that many layers share: traced once, differentiated by recomputation."""

import enum
from typing import Any, Callable, Dict, NamedTuple, Tuple

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
      trained: whether gradients will be taken; one trace then serves both passes.
    """

    def __init__(self, function: Callable, trained: bool = True):
        def forward(groups, statistics):
            return function(**groups, statistics=statistics)

        def derive(groups, statistics, incoming=None):
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(flatten(groups))
                outputs, used = forward(groups, statistics)
            if incoming is None:
                incoming = tf.nest.map_structure(_placeholder, outputs)
            gradients = tape.gradient(
                tf.nest.flatten(outputs),
                flatten(groups),
                output_gradients=tf.nest.flatten(incoming),
                unconnected_gradients=tf.UnconnectedGradients.ZERO,
            )
            return _Derivation(outputs, used, incoming, pack_like(groups, gradients))

        derivation = LeanFunction(derive)
        traced = derivation if trained else LeanFunction(forward)
        self._forward = _call(forward, traced.part(lambda results: tuple(results[:2])))

        def backward(wanted):
            def choose(derivation):
                return {name: derivation.gradients[name] for name in wanted.groups}

            part = derivation.part(choose, fed=lambda derivation: derivation.incoming)
            return _call(lambda *args: choose(derive(*args)), part)

        # Traced once for all gradients, of which each step takes those that it needs.
        self._backward = {wanted: backward(wanted) for wanted in GradientsFor}

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
        if not tf.config.functions_run_eagerly():
            # Traced here, since inside the call below no tape records.
            self._forward.get_concrete_function(groups, statistics)
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


class _Derivation(NamedTuple):
    """Results of a function, and the gradients of its groups for those of its outputs."""

    outputs: Any
    used: Any
    incoming: Any
    gradients: Dict[str, Any]


def _placeholder(tensor: tf.Tensor) -> tf.Tensor:
    return tf.compat.v1.placeholder(tensor.dtype, tensor.shape)


def _call(eagerly: Callable, in_graphs: Callable):
    """As a function that stays a call in graphs."""

    def call(*args):
        return eagerly(*args) if tf.executing_eagerly() else in_graphs(*args)

    return tf.function(call, experimental_attributes=_CALL, autograph=False)
