"""The cell of a decoded network: a genotype's ops, each with weights of its own.

Ops are relu-convolution-batch norm (paper, section 3.1, https://arxiv.org/abs/1901.02985);
pooling and skip are just that. On a move down the ops on the cell's two inputs have stride 2.
"""

from typing import Sequence

import tensorflow as tf

from adl_tf.layers.conv_norm import ConvNorm
from adl_tf.layers.convolution import resize, spatial_size
from adl_tf.layers.drop import Drop
from adl_tf.space.ops import (
    ATROUS,
    ATROUS_RATE,
    AVERAGE_POOL,
    MAX_POOL,
    POOLS,
    SEPARABLE,
    SKIP,
    WEIGHTLESS,
    ZERO,
    get_op,
)
from adl_tf.space.search_space import CELL_INPUTS, halve

_POOL_FUNCTIONS = {MAX_POOL: tf.nn.max_pool2d, AVERAGE_POOL: tf.nn.avg_pool2d}


@tf.keras.utils.register_keras_serializable(package="adl_tf")
class CellOp(tf.keras.layers.Layer):
    """One op of a genotype on one input.

    Args:
      op: one of `OPS`.
      filters: channels of input and output.
      stride: 1, or 2 for ops that read a cell input on a move down.

    Raises:
      ValueError: an unknown op, or one of a kind that is not described here.
    """

    def __init__(self, op: str, filters: int, stride: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.op = get_op(op)
        self.filters = filters
        self.stride = stride
        kind, side = self.op.kind, self.op.kernel
        if kind == SEPARABLE:
            # Applied twice, as in DARTS; only the first has the stride.
            self.convolutions = [
                ConvNorm(filters, side, step, separable=True, name=f"separable_{index}")
                for index, step in enumerate((stride, 1))
            ]
        elif kind == ATROUS:
            # At stride 2 the features are resized instead, and the kernel is dense.
            rate = ATROUS_RATE if stride == 1 else 1
            # `call` applies the relu before resizing.
            self.convolutions = [ConvNorm(filters, side, rate=rate, relu=None, name="atrous")]
        elif kind == SKIP and stride == 2:
            self.convolutions = [ConvNorm(filters, stride=2, name="reduction")]
        elif kind in WEIGHTLESS:
            self.convolutions = []
        else:
            raise ValueError(f"op {op!r}: add its kind {kind!r} to layers/cell.py.")

    def get_config(self):
        return {
            **super().get_config(),
            "op": self.op.name,
            "filters": self.filters,
            "stride": self.stride,
        }

    def call(self, x, training=False):
        """[B, H, W, filters] -> [B, H / stride, W / stride, filters]; None stands for zeros."""
        kind = self.op.kind
        if kind == ZERO:
            return None
        if kind in POOLS:
            return _POOL_FUNCTIONS[kind](x, self.op.kernel, self.stride, "SAME")
        if kind == ATROUS:
            x = tf.nn.relu(x)
            if self.stride == 2:
                x = resize(x, halve(spatial_size(x)))
        for convolution in self.convolutions:
            x = convolution(x, training=training)
        return x


@tf.keras.utils.register_keras_serializable(package="adl_tf")
class Cell(tf.keras.layers.Layer):
    """A genotype's cell at one layer of the path (paper, figure 3).

    Args:
      cell: per block two (input, op), as in `Genotype.cell`.
      filters: filters of each block, F * s / 4; the output has as many per block.
      move: "up", "stay" or "down": the move into this layer.

    Attributes:
      drop: `Drop`; its schedule sets the share of examples for which an op's output is dropped in
        training. Skip connections are never dropped.
    """

    def __init__(self, cell: Sequence, filters: int, move: str, **kwargs):
        super().__init__(**kwargs)
        self.cell = tuple(tuple((source, op) for source, op in block) for block in cell)
        self.filters = filters
        self.move = move
        self.preprocess = [ConvNorm(filters, name=f"input_{i}") for i in range(CELL_INPUTS)]
        # Two per block, in a flat list: Keras does not save nested lists.
        self.ops = [
            CellOp(
                op,
                filters,
                2 if move == "down" and source < CELL_INPUTS else 1,
                name=f"block_{index}_{side}_{op}",
            )
            for index, block in enumerate(self.cell)
            for side, (source, op) in zip("ab", block)
        ]
        self.drop = Drop(whole_examples=True, name="drop_path")

    def get_config(self):
        names = ("cell", "filters", "move")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def build(self, input_shape):
        self.drop.build(None)
        super().build(input_shape)

    # AutoGraph has nothing to convert here and would only cost time.
    @tf.autograph.experimental.do_not_convert
    def call(self, inputs, size_like=None, training=False):
        """Evaluates the cell.

        Args:
          inputs: (H^(l-1), H^(l-2)), [B, H, W, C] each.
          size_like: on a move up, any tensor of the target size.
          training: batch statistics and dropped paths.

        Returns:
          [B, H', W', blocks * filters].
        """
        previous, before_previous = inputs
        if self.move == "up":
            previous = resize(previous, spatial_size(size_like))
        before_previous = resize(before_previous, spatial_size(previous))
        states = [
            layer(x, training=training)
            for layer, x in zip(self.preprocess, (previous, before_previous))
        ]
        size = spatial_size(previous)
        if self.move == "down":
            size = halve(size)
        for index, block in enumerate(self.cell):
            ops = self.ops[2 * index : 2 * index + 2]
            outputs = [op(states[source], training=training) for op, (source, _) in zip(ops, block)]
            outputs = [
                x if op.op.kind == SKIP else self.drop(x, f"{self.name} {op.name}", training)
                for op, x in zip(ops, outputs)
                if x is not None
            ]
            states.append(tf.add_n(outputs) if outputs else self._zeros(previous, size))
        return tf.concat(states[CELL_INPUTS:], axis=-1)

    def _zeros(self, like, size):
        return tf.zeros([tf.shape(like)[0], *size, self.filters], like.dtype)
