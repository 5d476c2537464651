"""Slow, plain reference of the relaxed cell and of the supernet: one op at a time, edge by edge.

Written from the paper's equations, with one TensorFlow op per operation. From the fast
layers it takes nothing but their variables, which it cuts into kernels per op and edge
(layout: source state, then [op, edge, filter]; see `mixed_op.Packing`). The ordinary
Keras layers of the supernet (stem, ASPP heads, classifiers) are called as they are.
"""

import math

import numpy as np
import tensorflow as tf

from adl_tf.layers.convolution import BATCH_NORM_EPSILON
from adl_tf.models.supernet import node_name
from adl_tf.space.ops import (
    ATROUS,
    AVERAGE_POOL,
    MAX_POOL,
    POOLS,
    SEPARABLE,
    SKIP,
    ZERO,
    get_op,
    ops_of_kind,
)


class BatchNorm:
    """Batch norms without scale and offset; keeps what each of them read and measured.

    Args:
      training: normalize with batch statistics, or with the moving ones.
    """

    def __init__(self, training):
        self.training = training
        self.moving = []
        self.batch = []

    def __call__(self, x, moving):
        mean, variance = tf.nn.moments(x, [0, 1, 2])
        count = int(np.prod(x.shape[:3]))
        self.moving.append(tf.convert_to_tensor(moving))
        self.batch.append(tf.stack([mean, variance * count / max(count - 1, 1)]))
        if not self.training:
            mean, variance = tf.unstack(moving)
        return tf.nn.batch_normalization(x, mean, variance, None, None, BATCH_NORM_EPSILON)


def resize(x, size):
    """Bilinear resizing that keeps the corners, as a product with a matrix per axis."""

    def matrix(length, new_length):
        result = np.zeros((new_length, length), np.float32)
        for row, position in enumerate(np.linspace(0, length - 1, new_length)):
            low = min(int(position + 1e-9), length - 1)
            high = min(low + 1, length - 1)
            result[row, low] += 1 - (position - low)
            result[row, high] += position - low
        return result

    rows, columns = matrix(x.shape[1], size[0]), matrix(x.shape[2], size[1])
    return tf.einsum("ih,bhwc,jw->bijc", rows, x, columns)


def targets(source, num_blocks):
    """Blocks that a state feeds: both inputs feed all, block b (state b + 2) the later ones."""
    return list(range(max(0, source - 1), num_blocks))


def row_of_alpha(source, block):
    """Rows are sorted by block; block b has b + 2 of them."""
    return sum(earlier + 2 for earlier in range(block)) + source


class Edge:
    """One edge of a cell with its own kernels and moving statistics.

    Args:
      layer: the `GatedCell` to cut the kernels from.
      source: state read.
      block: block written.
      statistics: packed moving statistics, [2, channels].
      states: the states whose statistics are packed in there.
    """

    def __init__(self, layer, source, block, statistics, states):
        self.layer = layer
        self.filters = layer.filters
        self.source = source
        # Edges that leave each state, and this edge's place among its source's.
        self.counts = [
            len(targets(state, layer.num_blocks)) for state in range(layer.num_blocks + 1)
        ]
        self.place = targets(source, layer.num_blocks).index(block)
        self.kernels = layer.mixed_op.kernels
        self.statistics = statistics
        self.states = states

    def present(self, *kinds):
        return ops_of_kind(self.layer.ops, *kinds)

    def cut(self, kernel, ops, op, axis):
        """This edge's and this op's channels of a packed kernel."""
        first = len(ops) * sum(self.counts[: self.source])
        first += ops.index(op) * self.counts[self.source] + self.place
        begin, end = first * self.filters, (first + 1) * self.filters
        return kernel[:, :, begin:end] if axis == 2 else kernel[..., begin:end]

    def depthwise_kernel(self, name, op):
        kernel = self.cut(
            self.kernels[f"{name}_depthwise"], self.present(get_op(op).kind), op, axis=2
        )
        # Stored as large as the largest op's, the kernel proper in the middle.
        margin = (kernel.shape[0] - get_op(op).kernel) // 2
        return kernel[margin : kernel.shape[0] - margin, margin : kernel.shape[1] - margin]

    def pointwise_kernel(self, name, op):
        return self.cut(
            self.kernels[f"{name}_pointwise"], self.present(get_op(op).kind), op, axis=3
        )

    def full_kernel(self, op):
        return self.cut(self.kernels[op], [op], op, axis=3)

    def moving(self, op):
        """Moving statistics [2, C] of each batch norm of one op on this edge."""
        separable, atrous = self.present(SEPARABLE), self.present(ATROUS)
        pools = self.present(*POOLS)

        def blocks_of_channels(state):
            """How many times C channels one state has: twice separable, atrous, pools."""
            return self.counts[state] * (2 * len(separable) + len(atrous)) + len(pools)

        first = sum(map(blocks_of_channels, self.states[: self.states.index(self.source)]))
        count = self.counts[self.source]
        if op in separable:
            first += separable.index(op) * count + self.place
            firsts = [first, first + len(separable) * count]
        elif op in atrous:
            firsts = [first + (2 * len(separable) + atrous.index(op)) * count + self.place]
        elif op in pools:
            # Pools have no weights: one batch norm serves all edges out of the state.
            firsts = [first + (2 * len(separable) + len(atrous)) * count + pools.index(op)]
        else:
            firsts = []
        return [self.statistics[:, i * self.filters : (i + 1) * self.filters] for i in firsts]

    def apply(self, op, x, batch_norm):
        """One op."""
        moving = iter(self.moving(op))

        def norm(x):
            return batch_norm(x, next(moving))

        def separable(name, x, rate=1):
            kernel = self.depthwise_kernel(name, op)
            x = tf.nn.depthwise_conv2d(x, kernel, [1] * 4, "SAME", dilations=[rate, rate])
            return tf.nn.conv2d(x, self.pointwise_kernel(name, op), 1, "SAME")

        kind, side = get_op(op).kind, get_op(op).kernel
        if kind == SEPARABLE:
            x = norm(separable("sep_conv_first", tf.nn.relu(x)))
            return norm(separable("sep_conv_second", tf.nn.relu(x)))
        if kind == ATROUS and self.layer.separable_atrous:
            return norm(separable("atrous_conv", tf.nn.relu(x), rate=2))
        if kind == ATROUS:
            return norm(tf.nn.conv2d(tf.nn.relu(x), self.full_kernel(op), 1, "SAME", dilations=2))
        if kind == MAX_POOL:
            return norm(tf.nn.max_pool2d(x, side, 1, "SAME"))
        if kind == AVERAGE_POOL:
            return norm(tf.nn.avg_pool2d(x, side, 1, "SAME"))
        if kind == SKIP:
            return x
        raise ValueError(op)


def cell(layer, first, second, probabilities, first_statistics, batch_norm):
    """The relaxed cell: blocks are sums of mixed ops on all earlier states (eqs. 1, 2, 4).

    Args:
      layer: the `GatedCell`.
      first, second: the two inputs, preprocessed; second may be None for zeros.
      probabilities: softmax of alpha, [edges, ops], in alpha's own order (eq. 3).
      first_statistics: packed statistics of all states but the second input.
      batch_norm: a `BatchNorm`.
    """
    states = [first, second]
    for block in range(layer.num_blocks):
        total = tf.zeros_like(first)
        for source, x in enumerate(states):
            if x is None:
                continue
            if source == 1:
                statistics = layer.mixed_op.statistics["before_previous"]
                edge = Edge(layer, 1, block, statistics, [1])
            else:
                packed = [state for state in range(layer.num_blocks + 1) if state != 1]
                edge = Edge(layer, source, block, first_statistics, packed)
            for column, op in enumerate(layer.ops):
                if get_op(op).kind != ZERO:
                    y = edge.apply(op, x, batch_norm)
                    total += probabilities[row_of_alpha(source, block), column] * y
        states.append(total)
    return tf.concat(states[2:], axis=-1)


def preprocess(x, move, kernel, statistics, size, batch_norm):
    """relu, convolution, batch norm; up moves resize first, down moves have stride 2."""
    x = tf.nn.relu(x)
    if move == "up":
        x = resize(x, size)
    x = tf.nn.conv2d(x, kernel, 2 if move == "down" else 1, "SAME")
    return batch_norm(x, statistics)


def node(layer, inputs, gates, probabilities, size, batch_norm):
    """The beta-weighted sum of the cell over the incoming moves (eq. 6)."""

    def preprocessed(x, branch, move):
        kernel, statistics = layer.input_kernels[branch], layer.input_statistics[branch]
        return preprocess(x, move, kernel, statistics, size, batch_norm)

    previous, before_previous = inputs
    if before_previous is not None:
        before_previous = preprocessed(before_previous, "before_previous", "stay")
    total = 0.0
    for move, x, gate in zip(layer.moves, previous, gates):
        x, statistics = preprocessed(x, move, move), layer.mixed_op.statistics[move]
        total += gate * cell(layer, x, before_previous, probabilities, statistics, batch_norm)
    return total


def gates(beta, num_levels):
    """Softmax of beta over the legal moves out of every node (eq. 7).

    Returns:
      {(layer, level, next level): probability}, layers counted from 0.
    """
    result = {}
    for layer in range(beta.shape[0]):
        for level in range(num_levels):
            legal = [step for step in (-1, 0, 1) if 0 <= level + step < num_levels]
            chances = tf.nn.softmax(tf.stack([beta[layer, level, step + 1] for step in legal]))
            for step, chance in zip(legal, tf.unstack(chances)):
                result[layer, level, level + step] = chance
    return result


def network(model, images, batch_norm):
    """Logits of the `Supernet`, from its variables."""
    training = batch_norm.training
    space = model.space
    height, width = images.shape[1:3]
    sizes = []
    for level in range(space.num_levels):
        stride = 4 * 2**level
        sizes.append((math.ceil(height / stride), math.ceil(width / stride)))
    probabilities = tf.nn.softmax(model.alpha)
    if "skip_connect" in space.ops:
        column = tf.one_hot(space.ops.index("skip_connect"), len(space.ops))
        probabilities += model.auxiliary_skip * column
    chances = gates(model.beta, space.num_levels)
    # Probability of a path to visit each node of the layer before; the paper has no such thing.
    visits = {0: 1.0}

    _, stem = model.stem(images, training=training)
    feature_maps = [{0: stem}]
    for layer in range(space.num_layers):
        new, reached = {}, {}
        for level in range(min(layer + 1, space.num_levels)):
            if layer == 0:
                sources, weights = [0], [1.0]
            else:
                sources = [s for s in (level - 1, level, level + 1) if s in feature_maps[-1]]
                weights = [chances[layer - 1, source, level] for source in sources]
                if model.gates == "normalized":
                    flow = [visits[source] * w for source, w in zip(sources, weights)]
                    reached[level] = sum(flow)
                    weights = [share / reached[level] for share in flow]
            # H^(l-2) has the node's own stride; the finest levels exist first.
            before_previous = feature_maps[-2].get(level) if layer else None
            new[level] = node(
                model.nodes[node_name(layer, level)],
                ([feature_maps[-1][source] for source in sources], before_previous),
                weights,
                probabilities,
                sizes[level],
                batch_norm,
            )
        feature_maps.append(new)
        visits = reached or visits
    logits = 0.0
    for level, x in feature_maps[-1].items():
        head, classifier = model.heads[level], model.classifiers[level]
        outcome = resize(classifier(head(tf.nn.relu(x), training=training)), sizes[0])
        logits += visits[level] * outcome if model.gates == "normalized" else outcome
    return resize(logits, (height, width))


def relative_error(actual, expected):
    """Largest difference, relative to the largest expected value of the tensor."""
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    assert np.isfinite(actual).all() and np.isfinite(expected).all()
    if not actual.size:
        return 0.0
    difference = np.abs(actual - expected).max()
    return float(difference / max(np.abs(expected).max(), 1e-20)) if difference else 0.0


def assert_close(actual, expected, names=None, tolerance=1e-4):
    """Each tensor of a list matches; None (no gradient) only matches None."""
    names = names or [str(i) for i in range(len(expected))]
    assert len(actual) == len(expected) == len(names)
    for name, a, b in zip(names, actual, expected):
        assert (a is None) == (b is None), name
        if a is not None:
            error = relative_error(a, b)
            assert error <= tolerance, f"{name}: relative error {error:.2e}"


def randomize_moving_statistics(layer, seed=0):
    """Means around 0 and variances around 1 for every batch norm of a layer or model."""
    rng = np.random.default_rng(seed)
    for variable in layer.non_trainable_variables:
        if variable.name.endswith(("gamma:0", "beta:0")):
            continue  # Of the pooling branches' batch norms.
        shape = variable.shape
        mean, variance = rng.normal(0, 0.3, shape), rng.uniform(0.5, 2.0, shape)
        if "_statistics" in variable.name:
            variable.assign(np.stack([mean[0], variance[1]]))
        elif "moving_variance" in variable.name:
            variable.assign(variance)
        else:
            assert "moving_mean" in variable.name, variable.name
            variable.assign(mean)
