"""All candidate ops on all edges out of one state, evaluated together (paper, eqs. 1-3).

The convolutions of these edges are packed along channels in the order
[op, edge, filter] and normalized by one fused batch norm, whose scale is the
softmax of alpha: mixing then costs nothing, and the gradient of alpha is the
gradient of that scale. Pooling and skip do not depend on the edge: each is
evaluated once, and a 1x1 convolution made of alphas spreads it over the edges.

Top to bottom: how weights are packed (`Packing`), what mixes the ops (`Mixing`), the
evaluation as a pure function (`evaluate_edges`), the layer that owns the variables
(`MixedOp`).
"""

import dataclasses
import functools
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import tensorflow as tf

from adl_tf.layers.convolution import (
    BATCH_NORM_MOMENTUM,
    average_pool,
    batch_norm,
    conv2d,
    depthwise_conv2d,
    grouped_conv2d,
    in_phases,
    pointwise_conv2d,
    sum_channel_groups,
    tile_channels,
)
from adl_tf.layers.shared_function import GradientsFor, SharedFunction
from adl_tf.layers.variables import add_kernel, add_statistics, update_statistics
from adl_tf.space.ops import (
    ATROUS,
    ATROUS_RATE,
    MAX_POOL,
    POOLS,
    SEPARABLE,
    SKIP,
    WEIGHTLESS,
    get_op,
    ops_of_kind,
)

_KINDS = (*WEIGHTLESS, SEPARABLE, ATROUS)
# The convolutions of all edges, and the batch norms that follow them; pools have one too.
_FIRST, _SECOND, _ATROUS, _POOL = "sep_conv_first", "sep_conv_second", "atrous_conv", "pool"


class Convolution(NamedTuple):
    """A convolution that all edges have: its name, the ops whose kernels it packs, and their side.

    Separable, it has a depthwise and a pointwise kernel, otherwise a full one.
    """

    name: str
    ops: Tuple[str, ...]
    separable: bool
    side: int


class Mixing(NamedTuple):
    """The softmax of alpha in the form that mixes the ops; None where the space has no such ops.

    Attributes:
      separable: [packed], scale of the batch norm behind the second separable convolution.
      atrous: [packed], scale of the batch norm behind the atrous convolutions.
      weightless: [1, 1, ops * C, edges * C], kernel that spreads pools and skip over the edges.
    """

    separable: Optional[tf.Tensor]
    atrous: Optional[tf.Tensor]
    weightless: Optional[tf.Tensor]


@dataclasses.dataclass(frozen=True)
class Packing:
    """Layout of the weights of a group of edges; source states first, then [op, edge, filter].

    Attributes:
      ops: candidate ops of every edge.
      separable_atrous: whether atrous convolutions are depthwise-separable.
      filters: C, filters of an edge's input and output.
      edges: number of edges that leave each state.

    Raises:
      ValueError: an op is unknown, or of a kind that is not evaluated here.
    """

    ops: Tuple[str, ...]
    separable_atrous: bool
    filters: int
    edges: Tuple[int, ...]

    def __post_init__(self):
        for op in self.ops:
            if get_op(op).kind not in _KINDS:
                raise ValueError(
                    f"op {op!r}: the supernet does not evaluate ops of the kind "
                    f"{get_op(op).kind!r}; add it to layers/mixed_op.py."
                )

    @property
    def separable(self) -> Tuple[str, ...]:
        return ops_of_kind(self.ops, SEPARABLE)

    @property
    def atrous(self) -> Tuple[str, ...]:
        return ops_of_kind(self.ops, ATROUS)

    @property
    def pools(self) -> Tuple[str, ...]:
        return ops_of_kind(self.ops, *POOLS)

    @property
    def skips(self) -> Tuple[str, ...]:
        return ops_of_kind(self.ops, SKIP)

    @property
    def weightless(self) -> Tuple[str, ...]:
        """Ops without weights, in the order of the mixing kernel's inputs."""
        return self.pools + self.skips

    def convolutions(self) -> List[Convolution]:
        """The convolutions of every edge, in the order of their weights."""
        result = []
        if self.separable:
            side = _largest_kernel(self.separable)
            result += [Convolution(name, self.separable, True, side) for name in (_FIRST, _SECOND)]
        if self.atrous and self.separable_atrous:
            result.append(Convolution(_ATROUS, self.atrous, True, _largest_kernel(self.atrous)))
        elif self.atrous:
            result += [Convolution(op, (op,), False, get_op(op).kernel) for op in self.atrous]
        return result

    def sizes(self, num_ops: int = 1) -> List[int]:
        """Packed channels of some ops on the edges out of each state."""
        return [num_ops * self.filters * edges for edges in self.edges]

    def alpha_order(self, ops: Sequence[str]) -> np.ndarray:
        """Packed order of alpha: indices into [edges * ops], edges sorted by source."""
        first = np.cumsum((0,) + self.edges)
        return np.array(
            [
                row * len(self.ops) + self.ops.index(op)
                for state, edges in enumerate(self.edges)
                for op in ops
                for row in range(first[state], first[state] + edges)
            ]
        )

    def kernel_shapes(self) -> Dict[str, Tuple[int, ...]]:
        """Shapes of the packed kernels by name.

        Depthwise kernels are as large as the largest op's; the margin of smaller
        ones is masked. Pointwise kernels are grouped by edge.
        """
        shapes = {}
        for name, ops, separable, side in self.convolutions():
            packed = sum(self.sizes(len(ops)))
            if separable:
                shapes[f"{name}_depthwise"] = (side, side, packed, 1)
                shapes[f"{name}_pointwise"] = (1, 1, self.filters, packed)
            else:
                shapes[name] = (side, side, self.filters, packed)
        return shapes

    def kernel_mask(self, ops: Sequence[str]) -> np.ndarray:
        """[K, K, packed, 1]: 1 where an op's kernel lies inside the largest op's, else 0."""
        pieces = []
        for size in self.sizes():
            for op in ops:
                side = get_op(op).kernel
                mask = np.pad(np.ones([side, side]), (_largest_kernel(ops) - side) // 2)
                pieces.append(np.repeat(mask[:, :, None, None], size, axis=2))
        return np.concatenate(pieces, axis=2).astype(np.float32)

    def batch_norms(self, states: Sequence[int]) -> Dict[Tuple[int, str], int]:
        """Channels of each batch norm on the edges out of some states, in packed order.

        Returns:
          {(state, name): channels}. Pools have one batch norm for all edges of a state.
        """
        result = {}
        for state in states:
            counts = {
                _FIRST: len(self.separable) * self.edges[state],
                _SECOND: len(self.separable) * self.edges[state],
                _ATROUS: len(self.atrous) * self.edges[state],
                _POOL: len(self.pools),
            }
            result.update({(state, name): self.filters * n for name, n in counts.items() if n})
        return result

    def statistics_size(self, states: Sequence[int]) -> int:
        """Channels of all batch norms on the edges out of some states."""
        return sum(self.batch_norms(states).values())

    def split(self, kernels, mixing, statistics, states: Sequence[int]):
        """Splits packed tensors by state.

        Args:
          kernels: {name: kernel}, named as in `kernel_shapes`.
          mixing: a `Mixing` of all states.
          statistics: moving ones of `states`, [2, statistics_size(states)].
          states: indices of the states that will be evaluated.

        Returns:
          kernels: {convolution: [(depthwise, pointwise) or (full,) of each state]}.
          mixing: [`Mixing` of each state].
          statistics: {(state, name of batch norm): (mean, variance)}.
        """
        return (
            self._split_kernels(kernels),
            self._split_mixing(mixing),
            self._split_statistics(statistics, states),
        )

    def _split_kernels(self, kernels):
        result = {}
        for name, ops, separable, _ in self.convolutions():
            sizes = self.sizes(len(ops))
            if separable:
                depthwise = kernels[f"{name}_depthwise"]
                masked = depthwise * tf.cast(self.kernel_mask(ops), depthwise.dtype)
                depthwise = tf.split(masked, sizes, axis=2)
                pointwise = tf.split(kernels[f"{name}_pointwise"], sizes, axis=3)
                result[name] = list(zip(depthwise, pointwise))
            else:
                result[name] = [(kernel,) for kernel in tf.split(kernels[name], sizes, axis=3)]
        return result

    def _split_mixing(self, mixing):
        def split(tensor, num_ops, axis):
            if tensor is None:
                return [None] * len(self.edges)
            return tf.split(tensor, self.sizes(num_ops), axis=axis)

        separable = split(mixing.separable, len(self.separable), axis=0)
        atrous = split(mixing.atrous, len(self.atrous), axis=0)
        weightless = split(mixing.weightless, 1, axis=3)
        return [Mixing(*tensors) for tensors in zip(separable, atrous, weightless)]

    def _split_statistics(self, statistics, states):
        norms = self.batch_norms(states)
        if not norms:  # Where skip is the only op.
            return {}
        rows = [tf.split(row, list(norms.values())) for row in tf.unstack(statistics)]
        return dict(zip(norms, zip(*rows)))

    def pack_statistics(self, statistics, states: Sequence[int]) -> tf.Tensor:
        """Packs statistics {(state, name): (mean, variance)} as [2, statistics_size(states)]."""
        norms = self.batch_norms(states)
        if not norms:
            return tf.zeros([2, 0])
        return tf.stack([tf.concat(row, axis=0) for row in zip(*map(statistics.get, norms))])


def _largest_kernel(ops: Sequence[str]) -> int:
    return max(get_op(op).kernel for op in ops)


def mixing_weights(packing: Packing, probabilities: tf.Tensor) -> Mixing:
    """Softmax of alpha as the scales and the kernel that mix the ops.

    Args:
      packing: layout of the edges.
      probabilities: [edges, ops], edges sorted by source state.

    Returns:
      A `Mixing` of all states.
    """
    flat = tf.reshape(probabilities, [1, -1])

    def ordered(ops):
        # A product with a permutation: the gradient of a gather would be sparse.
        permutation = np.eye(flat.shape[1], dtype=np.float32)[:, packing.alpha_order(ops)]
        return tf.matmul(flat, permutation)[0]

    def scale(ops):
        return tf.repeat(ordered(ops), packing.filters) if ops else None

    weightless = None
    if packing.weightless:
        identity = tf.eye(packing.filters)
        kernels = [tf.einsum("e,io->ieo", ordered((op,)), identity) for op in packing.weightless]
        shape = [1, 1, len(kernels) * packing.filters, sum(packing.sizes())]
        weightless = tf.reshape(tf.concat(kernels, axis=0), shape)
    return Mixing(scale(packing.separable), scale(packing.atrous), weightless)


def _separable_conv2d(x, depthwise, pointwise):
    return grouped_conv2d(depthwise_conv2d(x, depthwise), pointwise)


def _atrous_conv2d(packing: Packing, state: int, x, kernels):
    """All atrous ops on all edges out of a state. [B, H, W, C] -> [B, H, W, packed]."""
    if packing.separable_atrous:
        copies = len(packing.atrous) * packing.edges[state]

        def convolve(phases):
            return _separable_conv2d(tile_channels(phases, copies), *kernels[_ATROUS][state])

        return in_phases(convolve, x, ATROUS_RATE)
    outputs = [conv2d(x, *kernels[op][state], rate=ATROUS_RATE) for op in packing.atrous]
    return tf.concat(outputs, axis=-1) if len(outputs) > 1 else outputs[0]


def _pool(op: str, x):
    kernel = get_op(op).kernel
    if get_op(op).kind == MAX_POOL:
        return tf.nn.max_pool2d(x, kernel, 1, "SAME")
    # Native average pooling has a slow gradient on CPU.
    return average_pool(x) if kernel == 3 else tf.nn.avg_pool2d(x, kernel, 1, "SAME")


def evaluate_edges(packing: Packing, state: int, x, kernels, mixing, statistics, training: bool):
    """Mixed ops on the edges out of one state: a pure function of tensors.

    Args:
      packing: layout.
      state: index of the state.
      x: the state, [B, H, W, C].
      kernels, mixing, statistics: those of all states, as `packing.split` returns them.
      training: normalize with batch statistics, or with the moving ones.

    Returns:
      (outputs, statistics): tensors [B, H, W, edges * C], to be summed (none where `none` is
      the only op); the (mean, variance) used, by (state, name of batch norm).
    """
    outputs, used = [], {}

    def normalize(name, y, scale=None):
        y, *used[state, name] = batch_norm(y, *statistics[state, name], scale, training)
        return y

    active = tf.nn.relu(x)
    if packing.separable:
        num_ops = len(packing.separable)
        y = tile_channels(active, num_ops * packing.edges[state])
        y = normalize(_FIRST, _separable_conv2d(y, *kernels[_FIRST][state]))
        y = _separable_conv2d(tf.nn.relu(y), *kernels[_SECOND][state])
        y = normalize(_SECOND, y, mixing[state].separable)
        outputs.append(sum_channel_groups(y, num_ops))
    if packing.atrous:
        y = _atrous_conv2d(packing, state, active, kernels)
        y = normalize(_ATROUS, y, mixing[state].atrous)
        outputs.append(sum_channel_groups(y, len(packing.atrous)))
    if packing.weightless:
        pools = [_pool(op, x) for op in packing.pools]
        inputs = [normalize(_POOL, tf.concat(pools, axis=-1))] if pools else []
        inputs += [x] * len(packing.skips)
        kernel = tf.cast(mixing[state].weightless, x.dtype)
        outputs.append(pointwise_conv2d(tf.concat(inputs, axis=-1), kernel))
    return outputs, used


@functools.cache
def edges_function(packing: Packing, states: Tuple[int, ...], training: bool) -> SharedFunction:
    """The edges out of some states, none of which reads another."""

    def edges(features, weights, architecture, statistics):
        parts = packing.split(weights, architecture, statistics, states)
        sums, used = [], {}
        for state, feature_map in zip(states, features):
            outputs, moments = evaluate_edges(packing, state, feature_map, *parts, training)
            if not outputs:
                outputs = [tile_channels(tf.zeros_like(feature_map), packing.edges[state])]
            sums.append(tf.add_n(outputs))
            used.update(moments)
        return sums, packing.pack_statistics(used, states)

    return SharedFunction(edges, trained=training)


@tf.keras.utils.register_keras_serializable(package="adl_tf")
class MixedOp(tf.keras.layers.Layer):
    """Candidate ops on edges, mixed by the softmax of alpha.

    On an edge from state H_j to block i (eqs. 2 and 3, O^1 .. O^K the candidate ops):

        O_{j->i}(H_j) = sum_k alpha_{j->i}^k O^k(H_j),    sum_k alpha_{j->i}^k = 1

    Unlike the mixed op of DARTS, which is one edge, a layer has all edges out of one or more
    states: by default one edge out of one state, in a cell of the supernet all of its edges.
    With a single op it is that candidate op.

    Reference:
      Liu et al., Auto-DeepLab, section 3.1, https://arxiv.org/abs/1901.02985; after
      Liu et al., DARTS, section 2.2, https://arxiv.org/abs/1806.09055.

    Example:
      >>> mixed_op = MixedOp(ops=("skip_connect", "sep_conv_3x3"), filters=4)
      >>> alpha = tf.zeros([1, 2])
      >>> mixed_op(tf.ones([1, 8, 8, 4]), tf.nn.softmax(alpha)).shape
      TensorShape([1, 8, 8, 4])

    Args:
      ops: candidate ops, names of `space.ops.TABLE`.
      filters: C, filters of each state and of each edge's output.
      edges: number of edges that leave each state, each edge with kernels of its own.
      separable_atrous: depthwise-separable or full atrous convolutions.
      branches: uses of the layer that share its kernels but not their moving statistics,
        as {name: indices of the states evaluated}; by default one with all states.
      momentum: momentum of the moving batch statistics.

    Raises:
      ValueError: an op is unknown.
    """

    def __init__(
        self,
        ops: Sequence[str],
        filters: int,
        edges: Sequence[int] = (1,),
        separable_atrous: bool = False,
        branches: Optional[Dict[str, Sequence[int]]] = None,
        momentum: float = BATCH_NORM_MOMENTUM,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.packing = Packing(tuple(ops), separable_atrous, filters, tuple(edges))
        branches = branches or {"moving": range(len(self.packing.edges))}
        self.branches = {name: tuple(states) for name, states in branches.items()}
        self.momentum = momentum

    def get_config(self):
        return {
            **super().get_config(),
            "ops": list(self.packing.ops),
            "filters": self.packing.filters,
            "edges": list(self.packing.edges),
            "separable_atrous": self.packing.separable_atrous,
            "branches": {name: list(states) for name, states in self.branches.items()},
            "momentum": self.momentum,
        }

    def build(self, input_shape):
        self.kernels = {
            name: add_kernel(self, name, shape)
            for name, shape in self.packing.kernel_shapes().items()
        }
        self.statistics = {
            branch: add_statistics(self, branch, self.packing.statistics_size(states))
            for branch, states in self.branches.items()
        }
        super().build(input_shape)

    def read_kernels(self) -> Dict[str, tf.Tensor]:
        """The packed kernels by name, as `Packing.split` takes them."""
        return {name: tf.convert_to_tensor(kernel) for name, kernel in self.kernels.items()}

    def evaluate(self, function, branch, kernels, training, wanted, features, architecture):
        """Calls a shared function with the layer's variables; updates the statistics in training.

        Args:
          function: a `SharedFunction`, whose weights are the kernels.
          branch: whose statistics the function reads and measures.
          kernels: what `read_kernels` returned; read once, however many branches there are.
          training: whether the function measures batch statistics.
          wanted: which gradients will be computed.
          features, architecture: the function's other arguments.

        Returns:
          The function's outputs.
        """
        outputs, statistics = function(
            wanted, features, kernels, architecture, self.statistics[branch]
        )
        if training:
            update_statistics(self.statistics[branch], statistics, self.momentum)
        return outputs

    def call(self, x, weights, training=False):
        """Mixes the ops on the edges out of the states of the first branch.

        Args:
          x: [B, H, W, C]; a list of them where there are several states.
          weights: [edges, ops], softmax of alpha, edges sorted by state.
          training: batch or moving statistics.

        Returns:
          [B, H, W, edges * C], zeros where there is no op but none; a list if x is one.
        """
        training = bool(training)
        branch, states = next(iter(self.branches.items()))
        outputs = self.evaluate(
            edges_function(self.packing, states, training),
            branch,
            self.read_kernels(),
            training,
            GradientsFor.ALL,
            features=tf.nest.flatten(x),
            architecture=mixing_weights(self.packing, weights),
        )
        return tf.nest.pack_sequence_as(x, outputs)
