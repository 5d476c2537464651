"""The networks of all genotypes of a space, out of shared weights."""

import contextlib
from typing import Dict, Iterator, List, Sequence

import tensorflow as tf

from adl_tf.layers.cell import CellOp
from adl_tf.layers.conv_norm import ConvNorm
from adl_tf.layers.convolution import resize, spatial_size
from adl_tf.layers.stem import Stem
from adl_tf.models.aspp import SpatialPyramidPooling, set_norm_momentum
from adl_tf.models.auto_deeplab import LOW_LEVEL_LAYERS
from adl_tf.models.decoder import Decoder
from adl_tf.space.genotype import Genotype
from adl_tf.space.network_sizes import PAPER_SIZES, NetworkSizes
from adl_tf.space.search_space import CELL_INPUTS, SearchSpace, aspp_rates, halve


class SharedNetwork(tf.keras.Model):
    """Computes the network of any genotype of a space, with weights shared among genotypes.

    For a genotype it computes what `DecodedNetwork` of equal sizes computes: a cell reads the two
    last outputs of the path itself, unlike in the supernet, where H^(l-2) is the state at the same
    stride. The weights of an op belong to its layer, level, edge and stride; those of a cell's
    input convolutions to the levels that they connect. Only the layers of the genotype run, so a
    step costs what a step of the decoded network costs. A layer is made when a genotype first uses
    it, so everything runs eagerly.

    Reference:
      Guo et al., Single path one-shot NAS with uniform sampling,
      https://arxiv.org/abs/1904.00420, section 3.

    Args:
      space: the search space; its F is that of the networks.
      num_classes: number of classes.
      sizes: of stem, ASPP and decoder.
      norm_momentum: of the moving statistics of all batch norms.
    """

    def __init__(
        self,
        space: SearchSpace,
        num_classes: int,
        sizes: NetworkSizes = PAPER_SIZES,
        norm_momentum: float = 0.97,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.space = space
        self.num_classes = num_classes
        self.sizes = sizes
        self.stem = Stem(sizes.stem, name="stem")
        self.decoder = Decoder(
            num_classes, sizes.low_level, sizes.decoder, sizes.separable_head, name="decoder"
        )
        # One flat dict by name, since Keras tracks no layers in nested containers.
        self.shared: Dict[str, tf.keras.layers.Layer] = {}
        self._used: List[str] = []
        self._norm_momentum = norm_momentum
        for layer in (self.stem, self.decoder):
            set_norm_momentum(layer, norm_momentum)

    def _layer(self, name: str, make) -> tf.keras.layers.Layer:
        """The shared layer of a name; `make` makes it at its first use."""
        if name not in self.shared:
            self.shared[name] = make(name)
            set_norm_momentum(self.shared[name], self._norm_momentum)
        self._used.append(name)
        return self.shared[name]

    def compute(self, images: tf.Tensor, genotype: Genotype, training: bool) -> tf.Tensor:
        """Logits of a genotype's network.

        Args:
          images: float32 [B, H, W, 3].
          genotype: of the space.
          training: batch or moving statistics.

        Returns:
          float32 [B, H, W, num_classes].
        """
        self._used = []
        before_previous, previous = self.stem(images, training=training)
        level_sizes = [spatial_size(previous)]
        while len(level_sizes) <= max(genotype.path):
            level_sizes.append(halve(level_sizes[-1]))
        low_level = None
        # Where the cell's inputs come from, for the shapes of its input convolutions.
        origins = ("stem_2", "stem_1")
        last = 0
        for layer, level in enumerate(genotype.path):
            output = self._cell(
                genotype.cell,
                layer,
                (last, level),
                origins,
                (previous, before_previous),
                level_sizes,
                training,
            )
            before_previous, previous = previous, output
            origins, last = (f"level_{level}", origins[0]), level
            if level == 0 and layer < LOW_LEVEL_LAYERS:
                low_level = output
        pyramid = self._layer(
            f"aspp_{last}",
            lambda name: SpatialPyramidPooling(
                aspp_rates(last),
                self.sizes.aspp,
                separable=self.sizes.separable_head,
                name=name,
            ),
        )
        x = pyramid(tf.nn.relu(previous), training=training)
        logits = self.decoder((x, low_level), training=training)
        return resize(tf.cast(logits, tf.float32), spatial_size(images))

    def _cell(self, cell, layer, levels, origins, inputs, level_sizes, training) -> tf.Tensor:
        last, level = levels
        filters = self.space.filters(level)
        place = f"layer_{layer}_level_{level}"
        # A move up resizes the inputs before they are projected, a move down halves in the ops.
        size = level_sizes[min(level, last)]
        states = []
        for index, (origin, x) in enumerate(zip(origins, inputs)):
            project = self._layer(
                f"{place}_input_{index}_{origin}", lambda name: ConvNorm(filters, name=name)
            )
            states.append(project(resize(x, size), training=training))
        for block, branches in enumerate(cell):
            total = 0.0
            for source, op in branches:
                stride = 2 if level > last and source < CELL_INPUTS else 1
                function = self._layer(
                    f"{place}_edge_{source}_{block}_{op}_stride_{stride}",
                    lambda name, op=op, stride=stride: CellOp(op, filters, stride, name=name),
                )
                output = function(states[source], training=training)
                total = total if output is None else total + output
            if isinstance(total, float):
                total = tf.zeros([tf.shape(states[0])[0], *level_sizes[level], filters])
            states.append(total)
        return tf.concat(states[CELL_INPUTS:], axis=-1)

    def used_layers(self) -> List[tf.keras.layers.Layer]:
        """The layers of the genotype computed last."""
        return [self.stem, self.decoder, *(self.shared[name] for name in self._used)]

    def used_variables(self) -> List[tf.Variable]:
        """Their trainable variables."""
        return [v for layer in self.used_layers() for v in layer.trainable_variables]

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
