"""Layers of convolutions as functions of their weights, traced once for all layers alike."""

import collections
import functools
from typing import Callable, Dict, List, Tuple, Union

import tensorflow as tf

from adl_tf.layers.cell import CellOp
from adl_tf.layers.conv_norm import ConvNorm, encoder_initializer

Layer = Union[CellOp, ConvNorm]


def conv_norms(layer: Layer) -> List[ConvNorm]:
    """The convolutions of a layer, in the order in which they run."""
    return [layer] if isinstance(layer, ConvNorm) else layer.convolutions


def build_convolutions(layer: Layer, channels: int, seed: int) -> None:
    """Creates the weights of a layer, of inputs [B, H, W, channels], initialized by the seed."""
    for index, conv in enumerate(conv_norms(layer)):
        conv.kernel_initializer = encoder_initializer(seed + index)
        with tf.name_scope(layer.name):
            conv.build((None, None, None, channels))
        conv.built = True


def share_kernels(layer: Layer, owner: Layer) -> None:
    """Creates the batch norms of a layer, and gives it the kernels of another one.

    The owner only holds kernels: its own batch norms do not train.
    """
    for conv, other in zip(conv_norms(layer), conv_norms(owner)):
        other.norm.trainable = False
        if conv.separable:
            conv.depthwise_kernel = other.depthwise_kernel
        conv.kernel = other.kernel  # In the order of `ConvNorm.build`.
        with tf.name_scope(f"{layer.name}/{conv.norm.name}"):
            conv.norm.build((None, None, None, conv.filters))
        conv.built = True


class _Norm:
    """Batch norm of a convolution, with weights from outside; remembers the new moving ones."""

    def __init__(self, epsilon, gamma, beta, mean, variance, momentum):
        self._epsilon = epsilon
        self._weights = gamma, beta
        self.moving = mean, variance
        self._momentum = momentum

    def __call__(self, x, training):
        gamma, beta = self._weights
        nothing = tf.constant([], tf.float32)
        mean, variance = (nothing, nothing) if training else self.moving
        y, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x,
            scale=gamma,
            offset=beta,
            mean=mean,
            variance=variance,
            epsilon=self._epsilon,
            is_training=training,
        )
        if training:
            self.moving = tuple(
                self._momentum * old + (1 - self._momentum) * new
                for old, new in zip(self.moving, (mean, variance))
            )
        return y


class StatelessCall:
    """Computes what layers of one configuration compute, in one traced graph for all of them.

    Thousands of layers that each run a few times would otherwise either be traced each, or run op
    by op. The graph takes the weights as arguments.

    Args:
      make: makes a layer of the configuration.
    """

    def __init__(self, make: Callable[[], Layer]):
        self._template = make()
        # A function of each shape, since TensorFlow warns of one that is traced often; of partials,
        # since it counts by the code of a function.
        self._functions = collections.defaultdict(
            lambda: tf.function(functools.partial(self._compute), autograph=False)
        )

    def __call__(self, layer: Layer, x: tf.Tensor, training: bool) -> tf.Tensor:
        """layer(x, training=training), its moving statistics included.

        Args:
          layer: of the configuration, built.
          x: [B, H, W, C].
          training: batch or moving statistics.
        """
        convolutions = conv_norms(layer)
        weights = [
            [tf.convert_to_tensor(weight) for weight in conv.weights] for conv in convolutions
        ]
        momenta = [tf.constant(float(conv.norm.momentum)) for conv in convolutions]
        function = self._functions[tuple(x.shape), training]
        y, moving = function(x, weights, momenta, training)
        if training:
            for conv, (mean, variance) in zip(convolutions, moving):
                conv.norm.moving_mean.assign(mean)
                conv.norm.moving_variance.assign(variance)
        return y

    def _compute(self, x, weights, momenta, training):
        convolutions = conv_norms(self._template)
        for conv, (*kernels, gamma, beta, mean, variance), momentum in zip(
            convolutions, weights, momenta
        ):
            conv.kernel = kernels.pop()
            if kernels:
                (conv.depthwise_kernel,) = kernels
            conv.norm = _Norm(conv.epsilon, gamma, beta, mean, variance, momentum)
            conv.built = True  # Its weights are those given.
        # Not `__call__`, which would look for weights to build.
        y = self._template.call(x, training=training)
        return y, [conv.norm.moving for conv in convolutions]


class StatelessCalls:
    """A `StatelessCall` for each configuration."""

    def __init__(self):
        self._calls: Dict[Tuple, StatelessCall] = {}

    def find(self, make: Callable[..., Layer], *configuration) -> StatelessCall:
        """That of the layers that `make(*configuration)` makes."""
        key = (make, *configuration)
        if key not in self._calls:
            self._calls[key] = StatelessCall(functools.partial(*key))
        return self._calls[key]
