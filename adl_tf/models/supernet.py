"""The supernet: every path and every cell of a search space at once (paper, section 3)."""

import dataclasses
from typing import List, Sequence, Tuple

import numpy as np
import tensorflow as tf

from adl_tf.layers.convolution import BATCH_NORM_MOMENTUM, require_cpu_kernels, resize
from adl_tf.layers.gated_cell import GatedCell, cell_packing
from adl_tf.layers.mixed_op import mixing_weights
from adl_tf.layers.shared_function import GradientsFor
from adl_tf.layers.stem import Stem
from adl_tf.models.aspp import SpatialPyramidPooling, freeze_pooled_norms, set_norm_momentum
from adl_tf.models.image_network import ImageNetwork
from adl_tf.space.decoding import decode
from adl_tf.space.genotype import Genotype
from adl_tf.space.network_sizes import PAPER_SIZES, NetworkSizes
from adl_tf.space.ops import SKIP, ops_of_kind
from adl_tf.space.relaxed import RelaxedArchitecture
from adl_tf.space.search_space import (
    MOVE_OFFSETS,
    MOVES,
    SearchSpace,
    aspp_rates,
    halve,
    level_stride,
)
from adl_tf.system.settings import Count, NotNegative, configurable

# How beta weighs the cells of a node.
NORMALIZED, PAPER = GATES = ("normalized", "paper")


def node_name(layer: int, level: int) -> str:
    """Name of a node of the trellis, layers counted from 0."""
    return f"layer_{layer + 1}_stride_{level_stride(level)}"


def _move_targets(space: SearchSpace) -> np.ndarray:
    """float32 [levels * moves, levels]: 1 at the level that a legal move leads to."""
    levels = np.arange(space.num_levels)
    leads_to = levels[:, None, None] + np.array(MOVE_OFFSETS)[:, None] == levels
    return leads_to.reshape(-1, space.num_levels).astype(np.float32)


@configurable
@tf.keras.utils.register_keras_serializable(package="adl_tf")
class Supernet(ImageNetwork, tf.keras.Model):
    """Relaxed network with trainable architecture: all paths and all cells of a space at once.

    `alpha` [edges, ops] and `beta` [layers - 1, levels, moves] are the logits of the
    architecture; every other trainable variable is a weight. On the edge from state j to
    block i op k has the weight (eq. 3), and the move from a node to one of its neighbors
    (of the same stride, half or double) at the next layer the weight (eq. 7)

        softmax_k(alpha_{j->i}^k),    softmax_{s'}(beta_{s->s'}^l)  over the legal s'

    A node's output is `GatedCell`'s (eq. 6): the sum of the cells on its incoming moves, each
    times a gate. The last layer's nodes each have an ASPP and a classifier, whose logits are added.

    The paper's gate of a move is its weight. But whatever reads a node normalizes what it reads, so
    only the ratio of the gates *into* a node acts, and beta, which is normalized over the moves
    *out of* a node, learns little: nothing at all where a single move leads to a node. The gates
    "normalized" by node make every node the mean over the paths that come to it. With v the
    probability that a path drawn by these moves visits a node,

        v_1(4) = 1,    v_{l+1}(s') = sum_s v_l(s) beta_{s->s'}^l

    the gate of a move is v_l(s) beta_{s->s'}^l / v_{l+1}(s'), and the logits of stride s count
    v_L(s) times: the output is the mean over where paths end. Beta, its softmax and the probability
    of a path are the paper's.

    Reference:
      Liu et al., Auto-DeepLab, section 3, https://arxiv.org/abs/1901.02985.

    Example:
      >>> space = SearchSpace(num_layers=2, num_blocks=1, filter_multiplier=2, num_levels=2,
      ...                     ops=("none", "skip_connect", "max_pool_3x3"))
      >>> supernet = Supernet(space, num_classes=3)
      >>> supernet(tf.zeros([1, 32, 32, 3])).shape
      TensorShape([1, 32, 32, 3])
      >>> supernet.alpha.shape, supernet.beta.shape
      (TensorShape([2, 3]), TensorShape([1, 2, 3]))
      >>> genotype, probability = supernet.decode()
      >>> len(genotype.path)
      2

    Args:
      space: a `SearchSpace`, or its fields as a dict.
      num_classes: number of classes.
      stem: filters of the stem's three convolutions.
      separable_atrous: False for full atrous convolutions (the paper), True for
        depthwise-separable ones (DARTS).
      gates: "normalized", or "paper".
      auxiliary_skip: weight of a further skip connection on every edge, where skip connections are
        among the ops; 0 for none (the paper). A mixture of ops attenuates its input, and skips
        would win for restoring it, which no decoded network needs (DARTS-,
        https://arxiv.org/abs/2009.01027, section 3.2).

    Raises:
      ValueError: unknown gates, or a stem that is not three filters.
    """

    def __init__(
        self,
        space,
        num_classes: int,
        stem: Sequence[Count] = PAPER_SIZES.stem,
        separable_atrous: bool = False,
        gates: str = NORMALIZED,
        auxiliary_skip: NotNegative = 1.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if gates not in GATES:
            raise ValueError(f"Supernet.gates = {gates!r}: choose from {list(GATES)}.")
        self.space = space if isinstance(space, SearchSpace) else SearchSpace(**space)
        self.num_classes = num_classes
        self.separable_atrous = separable_atrous
        self.gates = gates
        self.auxiliary_skip = auxiliary_skip
        space = self.space
        self.stem = Stem(NetworkSizes(stem=stem).stem, name="stem")
        # One flat dict: Keras does not save layers in nested containers.
        self.nodes = {
            node_name(layer, level): self._node(layer, level)
            for layer in range(space.num_layers)
            for level in space.levels(layer)
        }
        last = space.levels(space.num_layers - 1)
        self.heads = [
            SpatialPyramidPooling(
                aspp_rates(level)[:1],
                space.node_filters(level),
                name=f"head_stride_{level_stride(level)}",
            )
            for level in last
        ]
        self.classifiers = [
            tf.keras.layers.Conv2D(
                num_classes, 1, name=f"classifier_stride_{level_stride(level)}", dtype="float32"
            )
            for level in last
        ]
        # Here, since `compile` records which layers are trainable.
        freeze_pooled_norms(self)
        set_norm_momentum(self, BATCH_NORM_MOMENTUM)
        # Sorts the rows of alpha by the state that their edge leaves.
        order = sorted(range(len(space.edges)), key=lambda row: space.edges[row])
        self._edge_order = np.eye(len(order), dtype=np.float32)[order]
        skips = [op in ops_of_kind(space.ops, SKIP) for op in space.ops]
        self._added_probability = auxiliary_skip * np.array(skips, np.float32)
        self._legal_moves = space.legal_moves()[None]
        self._targets = _move_targets(space)

    def _node(self, layer: int, level: int) -> GatedCell:
        space = self.space
        moves = [MOVES[move] for _, move in space.predecessors(layer, level)]
        return GatedCell(
            ops=space.ops,
            num_blocks=space.num_blocks,
            filters=space.filters(level),
            moves=moves or ("stay",),
            separable_atrous=self.separable_atrous,
            name=node_name(layer, level),
        )

    def get_config(self):
        return {
            "name": self.name,
            "space": dataclasses.asdict(self.space),
            "num_classes": self.num_classes,
            "stem": list(self.stem.filters),
            "separable_atrous": self.separable_atrous,
            "gates": self.gates,
            "auxiliary_skip": self.auxiliary_skip,
        }

    def check_images(self, images):
        """Raises ValueError for images of integers, or of a height or width that is not static."""
        super().check_images(images)
        if None in images.shape[1:3]:
            raise ValueError(
                f"Supernet: images of shape {tuple(images.shape)}; height and width must be "
                "static: crop or pad all images to one size and give it, as in "
                "tf.keras.Input((321, 321, 3))."
            )

    def build(self, input_shape):
        require_cpu_kernels()

        def logits(name, shape):
            initializer = tf.keras.initializers.RandomNormal(stddev=0.001)
            return self.add_weight(
                name=name, shape=shape, initializer=initializer, experimental_autocast=False
            )

        self.alpha = logits("alpha", self.space.alpha_shape)
        self.beta = logits("beta", self.space.beta_shape)
        # Layers are built one by one: tracing a call would take longer than all of this.
        self._build_layer(self.stem, input_shape)
        before_previous, previous = {}, {0: self.stem.filters[-1]}  # Channels by level.
        for layer in range(self.space.num_layers):
            current = {}
            for level in self.space.levels(layer):
                node = self.nodes[node_name(layer, level)]
                sources = [source for source, _ in self.space.predecessors(layer, level)] or [0]
                shapes = [(None, None, None, previous[source]) for source in sources]
                channels = before_previous.get(level)
                self._build_layer(node, (shapes, channels and (None, None, None, channels)))
                current[level] = node.output_filters
            before_previous, previous = previous, current
        for level, (head, classifier) in enumerate(zip(self.heads, self.classifiers)):
            shape = (None, None, None, self.space.node_filters(level))
            self._build_layer(head, shape)
            self._build_layer(classifier, shape)
        tf.keras.layers.Layer.build(self, input_shape)

    def _build_layer(self, layer, input_shape):
        with tf.name_scope(layer.name):
            layer.build(input_shape)
        layer.built = True  # Not every layer sets it.

    @property
    def architecture_variables(self) -> List[tf.Variable]:
        """alpha and beta."""
        return [self.alpha, self.beta]

    @property
    def weight_variables(self) -> List[tf.Variable]:
        """All trainable variables but alpha and beta."""
        architecture = {id(variable) for variable in self.architecture_variables}
        return [v for v in self.trainable_variables if id(v) not in architecture]

    def op_probabilities(self) -> tf.Tensor:
        """Softmax of alpha over the ops of each edge (eq. 3), [edges, ops]."""
        return tf.nn.softmax(self.alpha)

    def move_probabilities(self) -> tf.Tensor:
        """Softmax of beta over the legal moves out of each node (eq. 7), beta's shape."""
        return tf.nn.softmax(tf.where(self._legal_moves, self.beta, -np.inf))

    def gates_and_visits(self) -> Tuple[List[tf.Tensor], tf.Tensor]:
        """The gates of all moves, and how much the logits of each level count.

        Returns:
          for each layer but the last [levels * moves], gates by the node that a move leaves; and
          [levels]. See the class.
        """
        moves = tf.unstack(self.move_probabilities())
        if self.gates == PAPER:
            return [tf.reshape(move, [-1]) for move in moves], tf.ones([self.space.num_levels])
        visits = tf.constant(np.eye(1, self.space.num_levels, dtype=np.float32)[0])
        gates = []
        for move in moves:
            flow = tf.reshape(visits[:, None] * move, [-1])
            visits = tf.linalg.matvec(self._targets, flow, transpose_a=True)
            # Where no path comes to, 0 / 0 counts as 0.
            gates.append(tf.math.divide_no_nan(flow, tf.linalg.matvec(self._targets, visits)))
        return gates, visits

    def architecture(self) -> RelaxedArchitecture:
        """The current alpha and beta."""
        return RelaxedArchitecture(self.space, self.alpha.numpy(), self.beta.numpy())

    def decode(self) -> Tuple[Genotype, float]:
        """The discrete architecture of the current alpha and beta, and its path's probability.

        Raises:
          ValueError: the supernet is not built, so that it has no alpha and beta.
        """
        if not self.built:
            raise ValueError("Supernet: nothing to decode yet; train it, or call it on images.")
        return decode(self.architecture())

    # AutoGraph has nothing to convert in the whole network and would only cost time.
    @tf.autograph.experimental.do_not_convert
    def call(self, images, training=False, wanted=GradientsFor.ALL):
        """Logits at the size of the images.

        Args:
          images: float32 [B, H, W, 3], H and W static.
          training: batch or moving statistics.
          wanted: which gradients will be computed.

        Returns:
          float32 [B, H, W, num_classes].

        Raises:
          ValueError: see `check_images`.
        """
        space = self.space
        sizes = [halve(halve(images.shape[1:3]))]
        while len(sizes) < space.num_levels:
            sizes.append(halve(sizes[-1]))
        probabilities = self.op_probabilities() + self._added_probability
        probabilities = tf.matmul(self._edge_order, probabilities)
        mixing = [
            mixing_weights(
                cell_packing(
                    space.ops, self.separable_atrous, space.num_blocks, space.filters(level)
                ),
                probabilities,
            )
            for level in range(space.num_levels)
        ]
        all_gates, visits = self.gates_and_visits()

        _, stem = self.stem(images, training=training)
        before_previous, previous = {}, {0: stem}
        for layer in range(space.num_layers):
            # The first layer's only node reads the stem and has no moves to weigh.
            gates = tf.unstack(all_gates[layer - 1]) if layer else None
            current = {}
            for level in space.levels(layer):
                sources = space.predecessors(layer, level)
                current[level] = self.nodes[node_name(layer, level)](
                    (
                        [previous[source] for source, _ in sources or [(0, 1)]],
                        before_previous.get(level),
                    ),
                    gates=[gates[source * len(MOVES) + move] for source, move in sources]
                    or [tf.ones([])],
                    mixing=mixing[level],
                    size=sizes[level],
                    training=training,
                    wanted=wanted,
                )
            before_previous, previous = previous, current
        logits = [
            resize(
                visits[level] * classifier(head(tf.nn.relu(previous[level]), training=training)),
                sizes[0],
            )
            for level, (head, classifier) in enumerate(zip(self.heads, self.classifiers))
        ]
        return resize(tf.add_n(logits), images.shape[1:3])
