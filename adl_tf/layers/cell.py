"""The cell of a decoded network: a genotype's ops, each with weights of its own.

Ops are relu-convolution-batch norm (paper, section 3.1); pooling is followed by a batch
norm, as in the supernet. On a move down the ops on the cell's two inputs have stride 2.
"""

import zlib
from typing import Sequence

import tensorflow as tf

from adl_tf.layers.convolution import (
    ATROUS_RATE,
    BATCH_NORM_EPSILON,
    conv2d,
    depthwise_conv2d,
    halve,
    resize,
    spatial_size,
)
from adl_tf.layers.variables import add_kernel
from adl_tf.space.ops import NONE
from adl_tf.space.search_space import CELL_INPUTS


def batch_norm_layer(name: str) -> tf.keras.layers.BatchNormalization:
    """Batch norm as the whole decoded network uses it."""
    return tf.keras.layers.BatchNormalization(epsilon=BATCH_NORM_EPSILON, name=name)


class ReluConvNorm(tf.keras.layers.Layer):
    """relu, SAME convolution without bias, batch norm.

    Args:
      filters: output channels.
      kernel_size: side of the kernel.
      stride: 1 or 2.
      rate: atrous rate.
      separable: depthwise, then pointwise, instead of a full convolution.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 1,
        stride: int = 1,
        rate: int = 1,
        separable: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = kernel_size
        self.stride = stride
        self.rate = rate
        self.separable = separable
        self.norm = batch_norm_layer("norm")

    def get_config(self):
        names = ("filters", "kernel_size", "stride", "rate", "separable")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def build(self, input_shape):
        channels, side = input_shape[-1], self.kernel_size
        if self.separable:
            self.depthwise_kernel = add_kernel(self, "depthwise_kernel", (side, side, channels, 1))
            side = 1
        self.kernel = add_kernel(self, "kernel", (side, side, channels, self.filters))
        with tf.name_scope(self.norm.name):
            self.norm.build((None, None, None, self.filters))
        super().build(input_shape)

    def call(self, x, training=False):
        """[B, H, W, C] -> [B, H / stride, W / stride, filters], sizes rounded up."""
        x = tf.nn.relu(x)
        stride = self.stride
        if self.separable:
            x = depthwise_conv2d(x, self.depthwise_kernel, stride, training)
            stride = 1
        x = conv2d(x, self.kernel, stride, self.rate)
        return self.norm(x, training=training)


class CellOp(tf.keras.layers.Layer):
    """One op of a genotype on one input.

    Args:
      op: one of `OPS`.
      filters: channels of input and output.
      stride: 1, or 2 for ops that read a cell input on a move down.
    """

    def __init__(self, op: str, filters: int, stride: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.op = op
        self.filters = filters
        self.stride = stride
        side = int(op[-1]) if op[-1].isdigit() else 1
        if op.startswith("sep_conv"):
            # Applied twice, as in DARTS; only the first has the stride.
            self.convolutions = [
                ReluConvNorm(filters, side, step, separable=True, name=f"separable_{index}")
                for index, step in enumerate((stride, 1))
            ]
        elif op.startswith("atrous_conv"):
            # At stride 2 the input is resized instead, and dense.
            rate = ATROUS_RATE if stride == 1 else 1
            self.convolutions = [ReluConvNorm(filters, side, rate=rate, name="atrous")]
        elif op == "skip_connect" and stride == 2:
            self.convolutions = [ReluConvNorm(filters, stride=2, name="reduction")]
        else:
            self.convolutions = []
        self.norm = batch_norm_layer("norm") if op.endswith("pool_3x3") else None

    def get_config(self):
        names = ("op", "filters", "stride")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def call(self, x, training=False):
        """[B, H, W, filters] -> [B, H / stride, W / stride, filters]; None is zero."""
        if self.op == NONE:
            return None
        if self.norm is not None:
            pool = tf.nn.max_pool2d if self.op.startswith("max") else tf.nn.avg_pool2d
            return self.norm(pool(x, 3, self.stride, "SAME"), training=training)
        if self.op.startswith("atrous_conv") and self.stride == 2:
            x = resize(x, halve(spatial_size(x)))
        for convolution in self.convolutions:
            x = convolution(x, training=training)
        return x


class Cell(tf.keras.layers.Layer):
    """A genotype's cell at one layer of the path.

    Args:
      cell: per block two (input, op), as in `Genotype.cell`.
      filters: filters of each block, F * s / 4; the output has as many per block.
      move: "up", "stay" or "down": how the path came here.

    Attributes:
      drop_path: float32 variable [2]: the share of examples that lose an op's output in
        training (ScheduledDropPath; what remains is scaled up), and a seed, the step.
    """

    def __init__(self, cell: Sequence, filters: int, move: str, **kwargs):
        super().__init__(**kwargs)
        self.cell = tuple(tuple((source, op) for source, op in block) for block in cell)
        self.filters = filters
        self.move = move
        self.preprocess = [ReluConvNorm(filters, name=f"input_{i}") for i in range(CELL_INPUTS)]
        self.branches = [
            [
                CellOp(
                    op,
                    filters,
                    2 if move == "down" and source < CELL_INPUTS else 1,
                    name=f"block_{index}_{side}_{op}",
                )
                for side, (source, op) in zip("ab", block)
            ]
            for index, block in enumerate(self.cell)
        ]

    def get_config(self):
        names = ("cell", "filters", "move")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}

    def build(self, input_shape):
        self.drop_path = self.add_weight(
            name="drop_path",
            shape=(2,),
            initializer="zeros",
            trainable=False,
            dtype=tf.float32,
            experimental_autocast=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )
        super().build(input_shape)

    # There is no Python to convert in here, only time to lose.
    @tf.autograph.experimental.do_not_convert
    def call(self, inputs, size_like=None, training=False):
        """Evaluates the cell.

        Args:
          inputs: (H^(l-1), H^(l-2)), [B, H, W, C] each.
          size_like: on a move up, any tensor of the size to come to.
          training: batch statistics and dropped paths.

        Returns:
          [B, H', W', blocks * filters].
        """
        previous, earlier = inputs
        if self.move == "up":
            previous = resize(previous, spatial_size(size_like))
        earlier = resize(earlier, spatial_size(previous))
        states = [
            layer(x, training=training) for layer, x in zip(self.preprocess, (previous, earlier))
        ]
        size = spatial_size(previous)
        if self.move == "down":
            size = halve(size)
        for block, branches in zip(self.cell, self.branches):
            outputs = [
                branch(states[source], training=training)
                for branch, (source, _) in zip(branches, block)
            ]
            outputs = [x for x in outputs if x is not None]
            if training:
                outputs = [self._drop(x, (len(states), i)) for i, x in enumerate(outputs)]
            states.append(tf.add_n(outputs) if outputs else self._zeros(previous, size))
        return tf.concat(states[CELL_INPUTS:], axis=-1)

    def _drop(self, x, place):
        """Drops x for some examples; which ones, follows from step, replica, cell and place."""
        rate, step = tf.unstack(self.drop_path)
        context = tf.distribute.get_replica_context()
        replica = context.replica_id_in_sync_group if context else 0
        seed = [zlib.crc32(f"{self.name} {place}".encode()) // 2 + replica, tf.cast(step, tf.int32)]
        draw = tf.random.stateless_uniform([tf.shape(x)[0], 1, 1, 1], seed)
        scale = tf.where(draw < 1.0 - rate, 1.0 / (1.0 - rate), 0.0)
        return x * tf.cast(scale, x.dtype)

    def _zeros(self, like, size):
        return tf.zeros([tf.shape(like)[0], *size, self.filters], like.dtype)
