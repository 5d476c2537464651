"""The networks of all genotypes of a space, out of shared weights."""

import contextlib
import functools
import zlib
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence

import tensorflow as tf

from adl_tf.layers.cell import CellOp
from adl_tf.layers.conv_norm import ConvNorm
from adl_tf.layers.convolution import resize, spatial_size
from adl_tf.layers.stateless import (
    StatelessCall,
    StatelessCalls,
    build_convolutions,
    share_kernels,
)
from adl_tf.layers.stem import Stem
from adl_tf.models.aspp import SpatialPyramidPooling, set_norm_momentum
from adl_tf.models.auto_deeplab import LOW_LEVEL_LAYERS
from adl_tf.models.decoder import Decoder
from adl_tf.space.genotype import Genotype
from adl_tf.space.network_sizes import PAPER_SIZES, NetworkSizes
from adl_tf.space.ops import SKIP, get_op
from adl_tf.space.search_space import CELL_INPUTS, SearchSpace, aspp_rates, halve


class _Part(NamedTuple):
    """A shared layer of a cell.

    Attributes:
      name: which weights.
      channels: of its input.
      make: makes the layer.
      graph: computes it.
      kernels: name of the layer whose kernels it has; None for its own.
    """

    name: str
    channels: int
    make: Callable[..., tf.keras.layers.Layer]
    graph: StatelessCall
    kernels: Optional[str]


class SharedNetwork(tf.keras.Model):
    """Computes the network of any genotype of a space, with weights shared among genotypes.

    For a genotype it computes what `DecodedNetwork` of equal sizes computes: a cell reads the two
    last outputs of the path itself, unlike in the supernet, where H^(l-2) is the state at the same
    stride. The kernels of an op belong to its layer and level, so that even a short training meets
    each of them often; its batch norm belongs to its edge and stride, too, since each edge has
    features of its own. The weights of a cell's input convolutions belong to the levels that they
    connect. Only the layers of the genotype run, so a
    step costs what a step of the decoded network costs. A layer is made when a genotype first uses
    it, so networks run eagerly; layers of one configuration share a graph, see `StatelessCall`.

    Reference:
      Guo et al., Single path one-shot NAS with uniform sampling,
      https://arxiv.org/abs/1904.00420, section 3.

    Args:
      space: the search space; its F is that of the networks.
      num_classes: number of classes.
      sizes: of stem, ASPP and decoder.
      norm_momentum: of the moving statistics of all batch norms.
      seed: of the initial weights of the cells.
      share_edges: False gives each edge and stride kernels of its own.
    """

    def __init__(
        self,
        space: SearchSpace,
        num_classes: int,
        sizes: NetworkSizes = PAPER_SIZES,
        norm_momentum: float = 0.97,
        seed: int = 0,
        share_edges: bool = True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.space = space
        self.num_classes = num_classes
        self.sizes = sizes
        self.stem = Stem(sizes.stem, name="stem")
        self.pyramids = [
            SpatialPyramidPooling(
                aspp_rates(level),
                sizes.aspp,
                separable=sizes.separable_head,
                name=f"aspp_{level}",
            )
            for level in range(space.num_levels)
        ]
        self.decoder = Decoder(
            num_classes, sizes.low_level, sizes.decoder, sizes.separable_head, name="decoder"
        )
        # One flat dict by name, since Keras tracks no layers in nested containers.
        self.shared: Dict[str, tf.keras.layers.Layer] = {}
        self._used: List[tf.keras.layers.Layer] = []
        self._graphs = StatelessCalls()
        self._norm_momentum = norm_momentum
        self._seed = seed
        self._share_edges = share_edges
        for layer in (self.stem, *self.pyramids, self.decoder):
            set_norm_momentum(layer, norm_momentum)

    def build(self, input_shape):
        """Creates what all genotypes share."""
        _, features = self.stem(tf.zeros([1, 9, 9, 3]))
        side = features.shape[1]
        for level, pyramid in enumerate(self.pyramids):
            x = pyramid(tf.zeros([1, side, side, self.space.node_filters(level)]))
        self.decoder((x, tf.zeros([1, side, side, self.space.node_filters(0)])))
        tf.keras.layers.Layer.build(self, input_shape)

    def _cell_parts(self, genotype: Genotype, layer: int) -> List["_Part"]:
        """The convolutions of a cell's inputs, then its ops, in the order in which they run."""
        path = genotype.path
        level, last = path[layer], path[layer - 1] if layer else 0
        filters = self.space.filters(level)
        place = f"layer_{layer}_level_{level}"
        parts = []
        for index in range(CELL_INPUTS):
            source = layer - 1 - index
            if source < 0:
                origin, channels = f"stem_{-source}", self.sizes.stem[source]
            else:
                origin, channels = f"level_{path[source]}", self.space.node_filters(path[source])
            parts.append(
                _Part(
                    f"{place}_input_{index}_{origin}",
                    channels,
                    functools.partial(ConvNorm, filters),
                    self._graphs.find(ConvNorm, filters),
                    None,
                )
            )
        for block, branches in enumerate(genotype.cell):
            for source, op in branches:
                stride = 2 if level > last and source < CELL_INPUTS else 1
                parts.append(
                    _Part(
                        f"{place}_edge_{source}_{block}_{op}_stride_{stride}",
                        filters,
                        functools.partial(CellOp, op, filters, stride),
                        self._graphs.find(CellOp, op, filters, stride),
                        # At stride 1 a skip has no kernel.
                        f"{place}_{op}" if self._share_edges and get_op(op).kind != SKIP else None,
                    )
                )
        return parts

    def _layer(self, part: "_Part") -> tf.keras.layers.Layer:
        """The shared layer of a part of a cell, made at its first use."""
        if part.name not in self.shared:
            layer = part.make(name=part.name)
            if part.kernels:
                owner = self._layer(part._replace(name=part.kernels, kernels=None))
                share_kernels(layer, owner)
            else:
                # By its name, so that it starts alike whenever it is made.
                seed = self._seed ^ zlib.crc32(part.name.encode())
                build_convolutions(layer, part.channels, seed)
            set_norm_momentum(layer, self._norm_momentum)
            self.shared[part.name] = layer
        return self.shared[part.name]

    def prepare(self, genotype: Genotype) -> None:
        """Makes the layers of a genotype that are not made yet."""
        for layer in range(len(genotype.path)):
            for part in self._cell_parts(genotype, layer):
                self._layer(part)

    def compute(self, images: tf.Tensor, genotype: Genotype, training: bool) -> tf.Tensor:
        """Logits of a genotype's network.

        Args:
          images: float32 [B, H, W, 3].
          genotype: of the space.
          training: batch or moving statistics.

        Returns:
          float32 [B, H, W, num_classes].
        """
        if not self.built:
            self.build(images.shape)
        self._used = [self.stem]
        before_previous, previous = self.stem(images, training=training)
        level_sizes = [spatial_size(previous)]
        while len(level_sizes) <= max(genotype.path):
            level_sizes.append(halve(level_sizes[-1]))
        low_level = None
        last = 0
        for layer, level in enumerate(genotype.path):
            # A move up resizes the inputs before they are projected, a move down halves in the ops.
            size = level_sizes[min(level, last)]
            inputs = [resize(x, size) for x in (previous, before_previous)]
            output = self._cell(genotype, layer, inputs, level_sizes[level], training)
            before_previous, previous, last = previous, output, level
            if level == 0 and layer < LOW_LEVEL_LAYERS:
                low_level = output
        pyramid = self.pyramids[last]
        self._used += [pyramid, self.decoder]
        x = pyramid(tf.nn.relu(previous), training=training)
        logits = self.decoder((x, low_level), training=training)
        return resize(tf.cast(logits, tf.float32), spatial_size(images))

    def _cell(self, genotype, layer, inputs, size, training) -> tf.Tensor:
        parts = iter(self._cell_parts(genotype, layer))

        def run(x):
            part = next(parts)
            self._used.append(self._layer(part))
            return part.graph(self._used[-1], x, training)

        states = [run(x) for x in inputs]
        for branches in genotype.cell:
            outputs = [run(states[source]) for source, _ in branches]
            outputs = [output for output in outputs if output is not None]
            states.append(
                tf.add_n(outputs)
                if outputs
                else tf.zeros([tf.shape(inputs[0])[0], *size, states[0].shape[-1]])
            )
        return tf.concat(states[CELL_INPUTS:], axis=-1)

    def used_layers(self) -> List[tf.keras.layers.Layer]:
        """The layers of the genotype computed last."""
        return list(self._used)

    def used_variables(self) -> List[tf.Variable]:
        """Their trainable variables."""
        variables = [v for layer in self.used_layers() for v in layer.trainable_variables]
        return list({id(variable): variable for variable in variables}.values())

    def used_norms(self) -> List[tf.keras.layers.BatchNormalization]:
        """Their batch norms."""
        return [
            norm
            for layer in self.used_layers()
            for norm in layer.submodules
            if isinstance(norm, tf.keras.layers.BatchNormalization)
        ]


@contextlib.contextmanager
def recalibrated(
    network: SharedNetwork, genotype: Genotype, batches: Sequence[tf.Tensor]
) -> Iterator[None]:
    """In the block, the batch norms of a genotype's layers have its own statistics.

    Shared layers have statistics that are a mixture over all genotypes, with which none of them
    predicts well (https://arxiv.org/abs/1904.00420, section 3.4). Afterwards they are as before.

    Args:
      network: the shared weights.
      genotype: what is scored in the block.
      batches: images [B, H, W, 3], a few batches; the statistics are means over them.
    """
    network.compute(batches[0], genotype, training=False)  # Makes and lists the layers.
    norms = network.used_norms()
    before = [
        (norm.momentum, norm.moving_mean.numpy(), norm.moving_variance.numpy()) for norm in norms
    ]
    try:
        for count, images in enumerate(batches):
            for norm in norms:
                norm.momentum = count / (count + 1)  # So that the moving statistics are a mean.
            network.compute(images, genotype, training=True)
        yield
    finally:
        for norm, (momentum, mean, variance) in zip(norms, before):
            norm.momentum = momentum
            norm.moving_mean.assign(mean)
            norm.moving_variance.assign(variance)
