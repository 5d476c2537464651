"""All candidate ops on all edges out of one state, evaluated together (paper, eqs. 1-3).

The convolutions of these edges are packed along channels in the order
[op, edge, filter] and normalised by one fused batch norm, whose scale is the
softmax of alpha: mixing then costs nothing, and the gradient of alpha is the
gradient of that scale. Pooling and skip do not depend on the edge: each is
evaluated once, and a 1x1 convolution made of alphas spreads it over the edges.
"""

import dataclasses
from typing import Dict, List, Sequence, Tuple

import numpy as np
import tensorflow as tf

from adl_tf.layers.convolution import (
    ATROUS_RATE,
    BATCH_NORM_MOMENTUM,
    average_pool,
    batch_norm,
    depthwise_conv2d,
    in_phases,
    sum_channel_groups,
    tile_channels,
)
from adl_tf.layers.variables import add_kernel, add_statistics, update_statistics

_SEPARABLE = ("sep_conv_3x3", "sep_conv_5x5")
_ATROUS = ("atrous_conv_3x3", "atrous_conv_5x5")
_POOLS = ("max_pool_3x3", "avg_pool_3x3")
_SKIP = "skip_connect"


def kernel_size(op: str) -> int:
    """Side of an op's kernel, from its name."""
    return int(op[-1])


@dataclasses.dataclass(frozen=True)
class Packing:
    """Layout of the weights of a group of edges; source states first, then [op, edge, filter].

    Attributes:
      ops: candidate ops of every edge.
      separable_atrous: whether atrous convolutions are depthwise-separable.
      filters: C, filters of an edge's input and output.
      edges: number of edges that leave each source state.
    """

    ops: Tuple[str, ...]
    separable_atrous: bool
    filters: int
    edges: Tuple[int, ...]

    def _present(self, ops: Sequence[str]) -> Tuple[str, ...]:
        return tuple(op for op in ops if op in self.ops)

    @property
    def separable(self) -> Tuple[str, ...]:
        return self._present(_SEPARABLE)

    @property
    def atrous(self) -> Tuple[str, ...]:
        return self._present(_ATROUS)

    @property
    def pools(self) -> Tuple[str, ...]:
        return self._present(_POOLS)

    @property
    def plain(self) -> Tuple[str, ...]:
        """Ops without weights, in the order of the mixing kernel's inputs."""
        return self._present(_POOLS + (_SKIP,))

    def size(self, ops: Sequence[str]) -> int:
        """Packed channels of some ops on all edges."""
        return len(ops) * self.filters * sum(self.edges)

    def split(self, packed: tf.Tensor, ops: int, axis: int) -> List[tf.Tensor]:
        """Cuts a packed tensor into one piece per source state."""
        return tf.split(packed, [ops * self.filters * edges for edges in self.edges], axis=axis)

    def alpha_order(self, ops: Sequence[str]) -> np.ndarray:
        """Packed order of alpha: indices into [edges * ops], edges sorted by source."""
        first = np.cumsum((0,) + self.edges)
        return np.array(
            [
                row * len(self.ops) + self.ops.index(op)
                for source, edges in enumerate(self.edges)
                for op in ops
                for row in range(first[source], first[source] + edges)
            ]
        )

    def kernel_mask(self, ops: Sequence[str]) -> np.ndarray:
        """[K, K, packed, 1]: 1 where an op's kernel lies inside the largest op's, else 0."""
        largest = max(map(kernel_size, ops))
        pieces = []
        for edges in self.edges:
            for op in ops:
                margin = (largest - kernel_size(op)) // 2
                side = np.pad(np.ones(kernel_size(op), np.float32), margin)
                mask = np.outer(side, side)[:, :, None, None]
                pieces.append(np.repeat(mask, edges * self.filters, axis=2))
        return np.concatenate(pieces, axis=2)

    def weight_shapes(self) -> Dict[str, Tuple[int, ...]]:
        """Weights by name, in the order in which `MixedEdges` takes them.

        Depthwise kernels are as large as the largest op's; the margin of smaller
        ones is masked. Pointwise kernels are grouped by edge.
        """
        shapes = {}

        def separable(name, ops):
            side = max(map(kernel_size, ops))
            shapes[f"{name}_depthwise"] = (side, side, self.size(ops), 1)
            shapes[f"{name}_pointwise"] = (1, 1, self.filters, self.size(ops))

        if self.separable:
            separable("sep_conv_first", self.separable)
            separable("sep_conv_second", self.separable)
        if self.atrous and self.separable_atrous:
            separable("atrous_conv", self.atrous)
        elif self.atrous:
            for op in self.atrous:
                side = kernel_size(op)
                shapes[op] = (side, side, self.filters, self.size((op,)))
        return shapes

    def batch_norm_sizes(self, source: int) -> List[int]:
        """Channels of each batch norm on the edges out of a state, in order of use."""
        edges = self.edges[source]
        counts = [len(self.separable) * edges] * 2 + [len(self.atrous) * edges, len(self.pools)]
        return [self.filters * count for count in counts if count]

    def statistics_size(self, sources: Sequence[int]) -> int:
        """Channels of all batch norms on the edges out of some states."""
        return sum(sum(self.batch_norm_sizes(source)) for source in sources)


def mixing_weights(packing: Packing, probabilities: tf.Tensor) -> List[tf.Tensor]:
    """Softmax of alpha as the scales and the kernel that mix the ops.

    Args:
      packing: layout of the edges.
      probabilities: [edges, ops], edges sorted by source state.

    Returns:
      The scale of the separable convolutions [packed], of the atrous ones
      [packed], and the mixing kernel [1, 1, plain * C, edges * C] of the ops
      without weights; each only where the space has such ops.
    """
    flat = tf.reshape(probabilities, [1, -1])

    def ordered(ops):
        # A product with a permutation: the gradient of a gather would be sparse.
        return tf.matmul(flat, tf.one_hot(packing.alpha_order(ops), flat.shape[1], axis=0))[0]

    weights = [
        tf.repeat(ordered(ops), packing.filters)
        for ops in (packing.separable, packing.atrous)
        if ops
    ]
    if packing.plain:
        identity = tf.eye(packing.filters)
        kernels = [tf.einsum("e,io->ieo", ordered((op,)), identity) for op in packing.plain]
        weights.append(
            tf.reshape(
                tf.concat(kernels, axis=0),
                [1, 1, len(kernels) * packing.filters, packing.size((_SKIP,))],
            )
        )
    return weights


class MixedEdges:
    """The mixed ops on the edges out of each of some states.

    Built inside a traced function; batch norms read and collect their statistics
    in the order of the calls.

    Args:
      packing: layout of weights.
      weights: tensors of `packing.weight_shapes()`.
      mixing: see `mixing_weights`.
      sources: the states that will be evaluated, in this order.
      statistics: moving mean and variance of their batch norms,
        [2, packing.statistics_size(sources)].
      training: normalise with batch statistics, or with the moving ones.
    """

    def __init__(self, packing, weights, mixing, sources, statistics, training):
        self._packing = packing
        self._training = training
        sizes = [size for source in sources for size in packing.batch_norm_sizes(source)]
        # No batch norm where skip is the only op.
        rows = tf.unstack(statistics) if sizes else []
        self._moving = list(zip(*(tf.split(row, sizes) for row in rows)))
        self._seen = []
        self._kernels = {}
        for name, kernel in zip(packing.weight_shapes(), weights):
            if name.endswith("_depthwise"):
                ops = packing.atrous if name.startswith("atrous") else packing.separable
                pieces = packing.split(kernel * packing.kernel_mask(ops), len(ops), axis=2)
            else:
                pieces = packing.split(kernel, kernel.shape[-1] // packing.size((_SKIP,)), axis=3)
            self._kernels[name] = pieces
        mixing = list(mixing)
        if packing.separable:
            self._separable_scale = packing.split(mixing.pop(0), len(packing.separable), axis=0)
        if packing.atrous:
            self._atrous_scale = packing.split(mixing.pop(0), len(packing.atrous), axis=0)
        if packing.plain:
            self._plain_kernel = packing.split(mixing.pop(0), 1, axis=3)

    def statistics(self) -> tf.Tensor:
        """Statistics of all batch norms so far, [2, channels]."""
        if not self._seen:
            return tf.zeros([2, 0])
        return tf.stack([tf.concat(row, axis=0) for row in zip(*self._seen)])

    def _normalize(self, x, scale=None):
        y, *statistics = batch_norm(x, *self._moving[len(self._seen)], scale, self._training)
        self._seen.append(statistics)
        return y

    def _separable(self, name, source, x):
        x = depthwise_conv2d(x, self._kernels[f"{name}_depthwise"][source])
        return tf.nn.conv2d(x, self._kernels[f"{name}_pointwise"][source], 1, "SAME")

    def _atrous(self, source, x):
        packing = self._packing
        if packing.separable_atrous:
            copies = len(packing.atrous) * packing.edges[source]

            def convolve(phases):
                return self._separable("atrous_conv", source, tile_channels(phases, copies))

            return in_phases(convolve, x, ATROUS_RATE)
        outputs = [
            tf.nn.conv2d(x, self._kernels[op][source], 1, "SAME", dilations=ATROUS_RATE)
            for op in packing.atrous
        ]
        return tf.concat(outputs, axis=-1) if len(outputs) > 1 else outputs[0]

    def __call__(self, source: int, x: tf.Tensor) -> List[tf.Tensor]:
        """Mixed ops on the edges out of a state.

        Args:
          source: index of the state in `packing.edges`.
          x: [B, H, W, C].

        Returns:
          Tensors [B, H, W, edges * C], to be summed.
        """
        packing = self._packing
        edges = packing.edges[source]
        active = tf.nn.relu(x)
        outputs = []
        if packing.separable:
            ops = len(packing.separable)
            y = self._separable("sep_conv_first", source, tile_channels(active, ops * edges))
            y = self._separable("sep_conv_second", source, tf.nn.relu(self._normalize(y)))
            y = self._normalize(y, self._separable_scale[source])
            outputs.append(sum_channel_groups(y, ops))
        if packing.atrous:
            y = self._normalize(self._atrous(source, active), self._atrous_scale[source])
            outputs.append(sum_channel_groups(y, len(packing.atrous)))
        if packing.plain:
            pools = []
            if "max_pool_3x3" in packing.pools:
                pools.append(tf.nn.max_pool2d(x, 3, 1, "SAME"))
            if "avg_pool_3x3" in packing.pools:
                pools.append(average_pool(x))
            plain = [self._normalize(tf.concat(pools, axis=-1))] if pools else []
            if _SKIP in packing.plain:
                plain.append(x)
            plain = tf.concat(plain, axis=-1)
            outputs.append(tf.nn.conv2d(plain, self._plain_kernel[source], 1, "SAME"))
        return outputs


class MixedOp(tf.keras.layers.Layer):
    """Candidate ops on the edges out of one feature map, mixed (paper, eqs. 2-3).

    With a single op it is that candidate op.

    Args:
      ops: candidate ops, a subset of `OPS`.
      filters: C, filters of the input and of each edge's output.
      edges: number of edges, each with weights of its own.
      separable_atrous: depthwise-separable or full atrous convolutions.
      momentum: of the moving batch statistics.
    """

    def __init__(
        self,
        ops: Sequence[str],
        filters: int,
        edges: int = 1,
        separable_atrous: bool = False,
        momentum: float = BATCH_NORM_MOMENTUM,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.packing = Packing(tuple(ops), separable_atrous, filters, (edges,))
        self.momentum = momentum

    def get_config(self):
        return {
            **super().get_config(),
            "ops": list(self.packing.ops),
            "filters": self.packing.filters,
            "edges": self.packing.edges[0],
            "separable_atrous": self.packing.separable_atrous,
            "momentum": self.momentum,
        }

    def build(self, input_shape):
        shapes = self.packing.weight_shapes()
        self.kernels = [add_kernel(self, name, shape) for name, shape in shapes.items()]
        self.moving_statistics = add_statistics(self, "op", self.packing.statistics_size((0,)))
        super().build(input_shape)

    def call(self, x, probabilities=None, training=False):
        """Mixes the ops.

        Args:
          x: [B, H, W, C].
          probabilities: [edges, ops], softmax of alpha; None for 1 everywhere.
          training: batch or moving statistics.

        Returns:
          [B, H, W, edges * C]; zeros where there is no op but none.
        """
        packing, training = self.packing, bool(training)
        if probabilities is None:
            probabilities = tf.ones([packing.edges[0], len(packing.ops)])
        edges = MixedEdges(
            packing,
            [tf.convert_to_tensor(kernel) for kernel in self.kernels],
            mixing_weights(packing, probabilities),
            (0,),
            tf.convert_to_tensor(self.moving_statistics),
            training,
        )
        outputs = edges(0, x)
        if training:
            update_statistics(self.moving_statistics, edges.statistics(), self.momentum)
        if not outputs:
            return tf.zeros_like(tile_channels(x, packing.edges[0]))
        return tf.add_n(outputs)
