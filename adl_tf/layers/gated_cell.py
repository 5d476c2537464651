"""A node of the trellis: the relaxed cell, once per incoming move, gated by beta (paper, eq. 6)."""

import functools
from typing import Sequence, Tuple

import tensorflow as tf

from adl_tf.layers.convolution import BATCH_NORM_MOMENTUM, batch_norm, resize
from adl_tf.layers.mixed_op import MixedEdges, Packing
from adl_tf.layers.shared_function import SharedFunction
from adl_tf.layers.variables import add_kernel, add_statistics, update_statistics
from adl_tf.space.search_space import CELL_INPUTS, MOVES

# The arguments of the shared functions that a gradient is computed for, besides
# the feature maps: an architecture step needs no gradient of weights.
WEIGHTS, ARCHITECTURE, ALL = "weights", "architecture", "all"

_PREVIOUS = 1  # The state that holds H^(l-2).


@functools.cache
def _preprocess_function(move: str, size: Tuple[int, int], training: bool) -> SharedFunction:
    """relu, convolution, batch norm of one input of a cell, at the node's own size.

    Down moves use a 3x3 convolution of stride 2. Up moves resize after the 1x1
    convolution, not before: both are linear and commute, and a fraction of the
    channels is left to resize.
    """

    def preprocess(x, kernel, statistics):
        y = tf.nn.conv2d(tf.nn.relu(x), kernel, 2 if move == "down" else 1, "SAME")
        y, *statistics = batch_norm(resize(y, size), *tf.unstack(statistics), training=training)
        return [y], [tf.stack(statistics)]

    return SharedFunction(preprocess)


@functools.cache
def _previous_function(packing: Packing, training: bool) -> SharedFunction:
    """The edges out of H^(l-2), which all branches of a node share."""
    num_weights = len(packing.weight_shapes())

    def previous(x, statistics, *tensors):
        edges = MixedEdges(
            packing,
            tensors[:num_weights],
            tensors[num_weights:],
            (_PREVIOUS,),
            statistics,
            training,
        )
        outputs = edges(_PREVIOUS, x)
        return [tf.add_n(outputs)], [edges.statistics()]

    return SharedFunction(previous)


@functools.cache
def _cell_function(packing: Packing, training: bool) -> SharedFunction:
    """The cell of one branch, times its gate."""
    num_weights = len(packing.weight_shapes())
    num_blocks = len(packing.edges) - 1
    sources = tuple(source for source in range(len(packing.edges)) if source != _PREVIOUS)

    def cell(x, previous, statistics, gate, *tensors):
        edges = MixedEdges(
            packing, tensors[:num_weights], tensors[num_weights:], sources, statistics, training
        )
        # Sums for the blocks still to come, side by side.
        pending = tf.add_n([previous] + edges(0, x))
        blocks = []
        for block in range(num_blocks):
            rest = (num_blocks - 1 - block) * packing.filters
            if rest:
                state, pending = tf.split(pending, [packing.filters, rest], axis=-1)
                pending = tf.add_n([pending] + edges(block + CELL_INPUTS, state))
            else:
                state = pending
            blocks.append(state)
        return [gate * tf.concat(blocks, axis=-1)], [edges.statistics()]

    return SharedFunction(cell)


def cell_packing(ops, separable_atrous: bool, num_blocks: int, filters: int) -> Packing:
    """Layout of a cell's edges: both inputs feed all blocks, block i the later ones."""
    edges = (num_blocks,) + tuple(range(num_blocks, 0, -1))
    return Packing(tuple(ops), separable_atrous, filters, edges)


class GatedCell(tf.keras.layers.Layer):
    """One node of the trellis (paper, eqs. 1-6).

    The cell's weights are shared by the node's incoming moves; each move has its own
    1x1 (up, stay) or 3x3 stride-2 (down) preprocessing and its own batch statistics.
    Only a cell's inputs are kept for the backward pass, the rest is recomputed.

    Args:
      ops: candidate ops.
      num_blocks: B.
      filters: C, filters per block; the output has B * C.
      moves: incoming moves, a subset of `MOVES`.
      separable_atrous: depthwise-separable or full atrous convolutions.
      momentum: of the moving batch statistics.
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
            raise ValueError(f"GatedCell: moves {list(moves)}; choose from {list(MOVES)}.")
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
        """`input_shape`: (shapes of the predecessors in order of `moves`, of H^(l-2) or None)."""
        predecessors, previous = input_shape
        packing = self.packing
        self.move_kernels = [
            add_kernel(
                self,
                f"{move}_kernel",
                (3, 3) * (move == "down") + (1, 1) * (move != "down") + (shape[-1], self.filters),
            )
            for move, shape in zip(self.moves, predecessors)
        ]
        self.cell_weights = [
            add_kernel(self, name, shape) for name, shape in packing.weight_shapes().items()
        ]
        sources = [source for source in range(len(packing.edges)) if source != _PREVIOUS]
        self.input_statistics = [
            add_statistics(self, f"{move}_input", self.filters) for move in self.moves
        ]
        self.cell_statistics = [
            add_statistics(self, f"{move}_cell", packing.statistics_size(sources))
            for move in self.moves
        ]
        if previous is not None:
            self.previous_kernel = add_kernel(
                self, "previous_kernel", (1, 1, previous[-1], self.filters)
            )
            self.previous_input_statistics = add_statistics(self, "previous_input", self.filters)
            self.previous_cell_statistics = add_statistics(
                self, "previous_cell", packing.statistics_size((_PREVIOUS,))
            )
        super().build(input_shape)

    def _update(self, moving, batch, training):
        if training:
            update_statistics(moving, batch, self.momentum)

    def _preprocess(self, x, move, size, kernel, statistics, training, wanted):
        y, batch = _preprocess_function(move, size, training)(
            x, kernel, statistics, wanted=(0,) if wanted == ARCHITECTURE else (0, 1)
        )
        self._update(statistics, batch, training)
        return y

    def call(self, inputs, gates, mixing, size, training=False, wanted=ALL):
        """Evaluates the node.

        Args:
          inputs: (predecessors, previous): H^(l-1) of each move, in order of `moves`,
            each [B, h, w, c]; and H^(l-2) [B, *size, c], or None for zeros.
          gates: scalar beta of each move.
          mixing: tensors of `mixing_weights`.
          size: the node's (height, width).
          training: batch or moving statistics.
          wanted: what gradients will be asked for, besides those of the inputs:
            WEIGHTS, ARCHITECTURE or ALL.

        Returns:
          H^l, [B, *size, num_blocks * filters].
        """
        predecessors, previous = inputs
        training = bool(training)
        weights = [tf.convert_to_tensor(weight) for weight in self.cell_weights]
        tensors = (*weights, *mixing)

        def indices(feature_maps, first):
            """Wanted arguments: some feature maps, then weights and alphas from `first` on."""
            alphas = first + len(weights)
            return (
                tuple(feature_maps)
                + tuple(range(first, alphas)) * (wanted != ARCHITECTURE)
                + tuple(range(alphas, first + len(tensors))) * (wanted != WEIGHTS)
            )

        if previous is None:
            edges = tf.zeros([tf.shape(predecessors[0])[0], *size, self.output_filters])
        else:
            x = self._preprocess(
                previous,
                "stay",
                size,
                self.previous_kernel,
                self.previous_input_statistics,
                training,
                wanted,
            )
            edges, batch = _previous_function(self.packing, training)(
                x, self.previous_cell_statistics, *tensors, wanted=indices((0,), 2)
            )
            self._update(self.previous_cell_statistics, batch, training)
        outputs = []
        for i, move in enumerate(self.moves):
            x = self._preprocess(
                predecessors[i],
                move,
                size,
                self.move_kernels[i],
                self.input_statistics[i],
                training,
                wanted,
            )
            maps = (0, 1) if wanted == WEIGHTS else (0, 1, 3)
            y, batch = _cell_function(self.packing, training)(
                x,
                edges,
                self.cell_statistics[i],
                gates[i],
                *tensors,
                wanted=indices(maps, 4),
            )
            self._update(self.cell_statistics[i], batch, training)
            outputs.append(y)
        return tf.add_n(outputs)
