"""The supernet: every path and every cell of a search space at once (paper, section 3)."""

import dataclasses
from typing import List

import numpy as np
import tensorflow as tf

from adl_tf.layers.convolution import BATCH_NORM_MOMENTUM, halve, resize
from adl_tf.layers.gated_cell import ALL, GatedCell, cell_packing
from adl_tf.layers.mixed_op import mixing_weights
from adl_tf.layers.stem import Stem
from adl_tf.models.aspp import SpatialPyramidPooling, freeze_pooled_norms, set_norm_momentum
from adl_tf.space.search_space import ASPP_FIELD, MOVES, SearchSpace, level_stride


@tf.keras.utils.register_keras_serializable(package="adl_tf")
class Supernet(tf.keras.Model):
    """Relaxed network with trainable architecture.

    `alpha` [edges, ops] and `beta` [layers - 1, levels, moves] are the logits of the
    architecture; every other trainable variable is a weight.

    Args:
      space: a `SearchSpace`, or its fields as a dict.
      num_classes: number of classes.
    """

    def __init__(self, space, num_classes: int, **kwargs):
        super().__init__(**kwargs)
        self.space = space if isinstance(space, SearchSpace) else SearchSpace(**space)
        self.num_classes = num_classes
        space = self.space
        self.stem = Stem()
        self.nodes = [
            {str(level): self._node(layer, level) for level in space.levels(layer)}
            for layer in range(space.num_layers)
        ]
        last = space.levels(space.num_layers - 1)
        self.heads = [
            SpatialPyramidPooling(
                [max(1, ASPP_FIELD // level_stride(level))], space.node_filters(level)
            )
            for level in last
        ]
        self.classifiers = [tf.keras.layers.Conv2D(num_classes, 1) for _ in last]
        # Here, since `compile` notes which layers are trainable.
        freeze_pooled_norms(self)
        set_norm_momentum(self, BATCH_NORM_MOMENTUM)
        # Which edge, counted by the state it leaves, is which row of alpha.
        order = sorted(range(len(space.edges)), key=lambda row: space.edges[row])
        self._edge_order = np.eye(len(order), dtype=np.float32)[order]
        self._legal_moves = space.legal_moves()[None]

    def _node(self, layer: int, level: int) -> GatedCell:
        space = self.space
        moves = [MOVES[move] for _, move in space.predecessors(layer, level)]
        return GatedCell(
            ops=space.ops,
            num_blocks=space.num_blocks,
            filters=space.filters(level),
            moves=moves or ("stay",),
            separable_atrous=space.separable_atrous,
            name=f"layer_{layer + 1}_stride_{level_stride(level)}",
        )

    def get_config(self):
        return {
            "name": self.name,
            "space": dataclasses.asdict(self.space),
            "num_classes": self.num_classes,
        }

    def build(self, input_shape):
        def logits(name, shape):
            initializer = tf.keras.initializers.RandomNormal(stddev=0.001)
            return self.add_weight(name=name, shape=shape, initializer=initializer)

        self.alpha = logits("alpha", self.space.alpha_shape)
        self.beta = logits("beta", self.space.beta_shape)
        # Every layer by hand: tracing a call for it would take longer than all of this.
        self._build_layer(self.stem, input_shape)
        stem_filters = self.stem.filters[-1]
        channels = [{}, {0: stem_filters}]
        for layer, nodes in enumerate(self.nodes):
            for level, node in nodes.items():
                level = int(level)
                sources = [s for s, _ in self.space.predecessors(layer, level)] or [0]
                predecessors = [(None, None, None, channels[-1][source]) for source in sources]
                previous = channels[-2].get(level)
                self._build_layer(node, (predecessors, previous and (None, None, None, previous)))
            channels.append({int(level): node.output_filters for level, node in nodes.items()})
        for level, (head, classifier) in enumerate(zip(self.heads, self.classifiers)):
            shape = (None, None, None, self.space.node_filters(level))
            self._build_layer(head, shape)
            self._build_layer(classifier, shape)
        tf.keras.layers.Layer.build(self, input_shape)

    def _build_layer(self, layer, input_shape):
        with tf.name_scope(layer.name):
            layer.build(input_shape)
        layer.built = True  # Not every layer says so itself.

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

    # There is no Python to convert in the whole network, only time to lose.
    @tf.autograph.experimental.do_not_convert
    def call(self, images, training=False, wanted=ALL):
        """Logits at the size of the images.

        Args:
          images: float32 [B, H, W, 3], static H and W.
          training: batch or moving statistics.
          wanted: see `GatedCell.call`; what gradients will be asked for.

        Returns:
          float32 [B, H, W, num_classes].
        """
        space = self.space
        sizes = [halve(halve(images.shape[1:3]))]
        while len(sizes) < space.num_levels:
            sizes.append(halve(sizes[-1]))
        probabilities = tf.matmul(self._edge_order, self.op_probabilities())
        mixing = [
            mixing_weights(
                cell_packing(
                    space.ops, space.separable_atrous, space.num_blocks, space.filters(level)
                ),
                probabilities,
            )
            for level in range(space.num_levels)
        ]
        moves = self.move_probabilities()

        _, stem = self.stem(images, training=training)
        earlier, previous = {}, {0: stem}
        for layer in range(space.num_layers):
            # The first layer's only node reads the stem, without a choice.
            gates = tf.unstack(tf.reshape(moves[layer - 1], [-1])) if layer else None
            current = {}
            for level in space.levels(layer):
                sources = space.predecessors(layer, level)
                current[level] = self.nodes[layer][str(level)](
                    ([previous[source] for source, _ in sources or [(0, 1)]], earlier.get(level)),
                    gates=[gates[source * len(MOVES) + move] for source, move in sources]
                    or [tf.ones([])],
                    mixing=mixing[level],
                    size=sizes[level],
                    training=training,
                    wanted=wanted,
                )
            earlier, previous = previous, current
        logits = [
            resize(classifier(head(tf.nn.relu(previous[level]), training=training)), sizes[0])
            for level, (head, classifier) in enumerate(zip(self.heads, self.classifiers))
        ]
        return resize(tf.add_n(logits), images.shape[1:3])
