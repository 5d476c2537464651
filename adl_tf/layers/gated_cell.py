"""A node of the trellis: the relaxed cell, once per incoming move, gated by beta (paper, eq. 6)."""

import functools
from typing import NamedTuple, Sequence, Tuple

import tensorflow as tf

from adl_tf.layers.convolution import (
    BATCH_NORM_MOMENTUM,
    batch_norm,
    gated,
    pointwise_conv2d,
    resize,
)
from adl_tf.layers.mixed_op import MixedOp, Packing, edges_function, evaluate_edges
from adl_tf.layers.shared_function import GradientsFor, SharedFunction
from adl_tf.layers.variables import add_kernel, add_statistics, update_statistics
from adl_tf.space.search_space import CELL_INPUTS, MOVES

# The states of a cell: its inputs H^(l-1) and H^(l-2), then its blocks.
_PREVIOUS_STATE, _BEFORE_PREVIOUS_STATE = range(CELL_INPUTS)

# The branch that all incoming moves share: the edges out of H^(l-2).
BEFORE_PREVIOUS = "before_previous"


class InputConvolution(NamedTuple):
    """The convolution that brings an input of a cell to the cell's filters and stride."""

    kernel: int
    stride: int


_INPUT_CONVOLUTIONS = {
    "down": InputConvolution(kernel=3, stride=2),
    "stay": InputConvolution(kernel=1, stride=1),
    "up": InputConvolution(kernel=1, stride=1),
    BEFORE_PREVIOUS: InputConvolution(kernel=1, stride=1),
}


@functools.cache
def _preprocess_function(
    strides: Tuple[int, ...], size: Tuple[int, int], training: bool
) -> SharedFunction:
    """relu, convolution, batch norm of each input of a cell, at the node's own size.

    Up moves resize after the 1x1 convolution, not before: both are linear and commute,
    and fewer channels are left to resize.
    """

    def preprocess(features, weights, architecture, statistics):
        del architecture
        outputs, used = [], []
        for stride, x, kernel, moving in zip(strides, features, weights, statistics):
            x = tf.nn.relu(x)
            if stride == 1:
                y = pointwise_conv2d(x, kernel)
            else:
                y = tf.nn.conv2d(x, kernel, stride, "SAME")
            y, *moments = batch_norm(resize(y, size), *tf.unstack(moving), training=training)
            outputs.append(y)
            used.append(tf.stack(moments))
        return outputs, used

    return SharedFunction(preprocess, trained=training)


def _branch_states(packing: Packing) -> Tuple[int, ...]:
    """The states that are evaluated once for each incoming move: all but H^(l-2)."""
    return tuple(state for state in range(len(packing.edges)) if state != _BEFORE_PREVIOUS_STATE)


@functools.cache
def _cell_function(packing: Packing, training: bool) -> SharedFunction:
    """The cell of one incoming move, times its gate."""
    num_blocks = len(packing.edges) - 1
    states = _branch_states(packing)

    def cell(features, weights, architecture, statistics):
        (x, pending), (mixing, gate) = features, architecture
        parts = packing.split(weights, mixing, statistics, states)
        used = {}

        def edges(state, feature_map):
            outputs, moments = evaluate_edges(packing, state, feature_map, *parts, training)
            used.update(moments)
            return outputs

        # Sums for the blocks still to come, side by side; at first those of H^(l-2).
        pending = tf.add_n([pending] + edges(_PREVIOUS_STATE, x))
        blocks = []
        for block in range(num_blocks):
            rest = (num_blocks - 1 - block) * packing.filters
            if rest:
                state, pending = tf.split(pending, [packing.filters, rest], axis=-1)
                pending = tf.add_n([pending] + edges(block + CELL_INPUTS, state))
            else:
                state = pending
            blocks.append(state)
        return gated(tf.concat(blocks, axis=-1), gate), packing.pack_statistics(used, states)

    return SharedFunction(cell, trained=training)


def cell_packing(ops, separable_atrous: bool, num_blocks: int, filters: int) -> Packing:
    """Layout of a cell's edges: both inputs feed all blocks, block i the later ones."""
    edges = (num_blocks,) + tuple(range(num_blocks, 0, -1))
    return Packing(tuple(ops), separable_atrous, filters, edges)


@tf.keras.utils.register_keras_serializable(package="adl_tf")
class GatedCell(tf.keras.layers.Layer):
    """One node of the trellis: the relaxed cell on each incoming move, gated by beta.

    Block i of a cell sums the mixed ops on all earlier states, the cell's two inputs and its
    blocks so far; the cell is the concatenation of its blocks (eqs. 1 and 4):

        H_i^l = sum_{H_j^l in I_i^l} O_{j->i}(H_j^l),    H^l = Cell(H^(l-1), H^(l-2); alpha)

    A node at stride s evaluates it once for each stride it can come from (eq. 6):

        sH^l = beta_{s/2->s}^l Cell(s/2 H^(l-1), sH^(l-2); alpha)
             + beta_{s->s}^l   Cell(sH^(l-1),    sH^(l-2); alpha)
             + beta_{2s->s}^l  Cell(2s H^(l-1),  sH^(l-2); alpha)

    The cell's weights, those of one `MixedOp`, are shared by the incoming moves; each has its
    own 1x1 (up, stay) or 3x3 stride-2 (down) preprocessing and its own batch statistics.
    Only a cell's inputs are kept for the backward pass, the rest is recomputed.

    Reference:
      Liu et al., Auto-DeepLab, sections 3.1 and 3.2, https://arxiv.org/abs/1901.02985.

    Example:
      >>> from adl_tf.layers.mixed_op import mixing_weights
      >>> cell = GatedCell(("none", "skip_connect"), num_blocks=1, filters=4, moves=("up",))
      >>> previous, before_previous = tf.ones([1, 4, 4, 8]), tf.ones([1, 8, 8, 4])
      >>> alpha = tf.zeros([2, 2])  # Two edges, two ops.
      >>> cell(
      ...     ([previous], before_previous),
      ...     gates=[1.0],
      ...     mixing=mixing_weights(cell.packing, tf.nn.softmax(alpha)),
      ...     size=(8, 8),
      ... ).shape
      TensorShape([1, 8, 8, 4])

    Args:
      ops: candidate ops.
      num_blocks: B.
      filters: C, filters per block; the output has B * C.
      moves: incoming moves, a subset of `MOVES`.
      separable_atrous: depthwise-separable or full atrous convolutions.
      momentum: momentum of the moving batch statistics.

    Raises:
      ValueError: no move, or a move or an op that is unknown.
    """

    def __init__(
        self,
        ops: Sequence[str],
        num_blocks: int,
        filters: int,
        moves: Sequence[str] = ("stay",),
        separable_atrous: bool = False,
        momentum: float = BATCH_NORM_MOMENTUM,
        **kwargs,
    ):
        super().__init__(**kwargs)
        unknown = set(moves) - set(MOVES)
        if unknown or not moves:
            raise ValueError(f"GatedCell: invalid moves {list(moves)}; choose from {list(MOVES)}.")
        self.ops = tuple(ops)
        self.num_blocks = num_blocks
        self.filters = filters
        self.moves = tuple(moves)
        self.separable_atrous = separable_atrous
        self.momentum = momentum
        self.packing = cell_packing(ops, separable_atrous, num_blocks, filters)

    def get_config(self):
        return {
            **super().get_config(),
            "ops": list(self.ops),
            "num_blocks": self.num_blocks,
            "filters": self.filters,
            "moves": list(self.moves),
            "separable_atrous": self.separable_atrous,
            "momentum": self.momentum,
        }

    @property
    def output_filters(self) -> int:
        """Channels of the node's output."""
        return self.num_blocks * self.filters

    def build(self, input_shape):
        """`input_shape`: ([shape of H^(l-1) of each move], shape of H^(l-2) or None)."""
        previous, before_previous = input_shape
        packing = self.packing
        input_shapes = dict(zip(self.moves, previous))
        branches = {move: _branch_states(packing) for move in self.moves}
        if before_previous is not None:
            input_shapes[BEFORE_PREVIOUS] = before_previous
            branches[BEFORE_PREVIOUS] = (_BEFORE_PREVIOUS_STATE,)
        self.input_kernels, self.input_statistics = {}, {}
        for branch, shape in input_shapes.items():
            side = _INPUT_CONVOLUTIONS[branch].kernel
            self.input_kernels[branch] = add_kernel(
                self, f"{branch}_kernel", (side, side, shape[-1], self.filters)
            )
            self.input_statistics[branch] = add_statistics(self, f"{branch}_input", self.filters)
        self.mixed_op = MixedOp(
            self.ops,
            self.filters,
            packing.edges,
            self.separable_atrous,
            branches,
            self.momentum,
            name="mixed_op",
        )
        with tf.name_scope(self.mixed_op.name):
            self.mixed_op.build((None, None, None, self.filters))
        super().build(input_shape)

    def _preprocess(self, inputs, size, training, wanted):
        """Brings the cell's inputs {branch: H} to the node's filters and size, in this order."""
        moving = [self.input_statistics[branch] for branch in inputs]
        outputs, statistics = _preprocess_function(
            tuple(_INPUT_CONVOLUTIONS[branch].stride for branch in inputs), size, training
        )(
            wanted,
            list(inputs.values()),
            [self.input_kernels[branch] for branch in inputs],
            None,
            moving,
        )
        if training:
            for own, batch in zip(moving, statistics):
                update_statistics(own, batch, self.momentum)
        return dict(zip(inputs, outputs))

    def call(self, inputs, gates, mixing, size, training=False, wanted=GradientsFor.ALL):
        """Evaluates the node.

        Args:
          inputs: (previous, before_previous): H^(l-1) of each move, in order of `moves`,
            each [B, h, w, c]; and H^(l-2) [B, *size, c], or None for zeros.
          gates: scalar beta of each move.
          mixing: the `Mixing` of `mixing_weights`.
          size: the node's (height, width).
          training: batch or moving statistics.
          wanted: which gradients will be computed, besides those of the inputs.

        Returns:
          H^l, [B, *size, num_blocks * filters].
        """
        previous, before_previous = inputs
        training = bool(training)
        inputs = dict(zip(self.moves, previous))
        if before_previous is not None:
            inputs[BEFORE_PREVIOUS] = before_previous
        inputs = self._preprocess(inputs, tuple(size), training, wanted)
        evaluate = functools.partial(
            self.mixed_op.evaluate,
            kernels=self.mixed_op.read_kernels(),
            training=training,
            wanted=wanted,
        )
        if before_previous is None:
            shape = [tf.shape(previous[0])[0], *size, self.output_filters]
            pending = tf.zeros(shape, self.compute_dtype)
        else:
            (pending,) = evaluate(
                edges_function(self.packing, (_BEFORE_PREVIOUS_STATE,), training),
                BEFORE_PREVIOUS,
                features=[inputs[BEFORE_PREVIOUS]],
                architecture=mixing,
            )
        cell = _cell_function(self.packing, training)
        outputs = [
            evaluate(cell, move, features=(inputs[move], pending), architecture=(mixing, gate))
            for move, gate in zip(self.moves, gates)
        ]
        return tf.add_n(outputs)
