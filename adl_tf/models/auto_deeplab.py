"""The network of a genotype: encoder, ASPP, decoder (paper, figure 3 and section 4.2)."""

from typing import Any, Dict, Sequence, Union

import tensorflow as tf

from adl_tf.layers.cell import Cell
from adl_tf.layers.drop import Drop
from adl_tf.layers.stem import Stem
from adl_tf.models.aspp import SpatialPyramidPooling
from adl_tf.models.decoder import Decoder, ResizeLike
from adl_tf.models.image_network import ImageNetwork
from adl_tf.models.keras_cv_import import keras_cv
from adl_tf.space.genotype import load_genotype
from adl_tf.space.layout import plan_layers
from adl_tf.space.network_sizes import PAPER_SIZES, NetworkSizes
from adl_tf.space.search_space import aspp_rates

# The decoder reads the cell that leaves stride 4, but none beyond the third.
LOW_LEVEL_LAYERS = 3


@tf.keras.utils.register_keras_serializable(package="adl_tf")
class DecodedBackbone(ImageNetwork, keras_cv.models.Backbone):
    """Stem and cells of a genotype, as a keras-cv backbone.

    Images are float32 [B, H, W, 3] in [-1, 1], of any size; the output is that of the last
    cell, without a relu. `pyramid_level_inputs` names the last cell at each stride, "P2" for
    stride 4 to "P5" for stride 32, as far as the path goes.

    Each layer of the path is one cell, the concatenation of its blocks; block i adds two ops
    on earlier states (figure 3):

        H_i^l = O(H_j^l) + O'(H_j'^l),    H^l = concat_i H_i^l  with F s / 4 filters per block

    Reference:
      Liu et al., Auto-DeepLab, figure 3 and table 2, https://arxiv.org/abs/1901.02985.

    Example:
      >>> genotype = {"path": (0, 1), "cell": [[(0, "skip_connect"), (1, "max_pool_3x3")]]}
      >>> backbone = DecodedBackbone(genotype, filter_multiplier=4)
      >>> backbone(tf.zeros([1, 32, 48, 3])).shape  # Stride 8.
      TensorShape([1, 4, 6, 8])
      >>> dict(backbone.pyramid_level_inputs)
      {'P2': 'cell_1_stride_4', 'P3': 'cell_2_stride_8'}

    Args:
      genotype: what `load_genotype` takes.
      filter_multiplier: F; a block at stride s has F * s / 4 filters.
      stem: filters of the stem's three convolutions.
      input_shape: [H, W, 3], None for sizes that vary.

    Attributes:
      low_level_layer: name of the cell that the decoder reads, at stride 4.
    """

    def __init__(
        self,
        genotype,
        filter_multiplier: int = 20,
        stem: Sequence[int] = PAPER_SIZES.stem,
        input_shape=(None, None, 3),
        **kwargs,
    ):
        genotype = load_genotype(genotype)
        images = tf.keras.Input(input_shape)
        before_previous, previous = Stem(stem, name="stem")(images)
        names, sizes_like, low_level = {}, {}, None
        plans = plan_layers(genotype.path, len(genotype.cell), filter_multiplier, stem)
        for layer, plan in enumerate(plans):
            name = f"cell_{layer + 1}_stride_{plan.stride}"
            cell = Cell(genotype.cell, plan.filters, plan.move, name=name)
            # Every level above was passed on the way down.
            output = cell(
                (previous, before_previous), size_like=sizes_like.get(plan.level, previous)
            )
            before_previous, previous = previous, output
            sizes_like.setdefault(plan.level, output)
            names[f"P{plan.level + 2}"] = name
            if plan.level == 0 and layer < LOW_LEVEL_LAYERS:
                low_level = name
        super().__init__(inputs=images, outputs=previous, **kwargs)
        self.genotype = genotype
        self.filter_multiplier = filter_multiplier
        self.stem = tuple(stem)
        self.pyramid_level_inputs = names
        self.low_level_layer = low_level

    def get_config(self):
        return {
            **super().get_config(),
            "genotype": self.genotype.to_dict(),
            "filter_multiplier": self.filter_multiplier,
            "stem": list(self.stem),
            "input_shape": self.input_shape[1:],
        }


@tf.keras.utils.register_keras_serializable(package="adl_tf")
class DecodedNetwork(ImageNetwork, tf.keras.Model):
    """Encoder, ASPP and decoder.

    Maps float32 images [B, H, W, 3] in [-1, 1], of any size, to float32 logits
    [B, H, W, num_classes]. At the encoder's last stride s the ASPP has the atrous rates 96 / s,
    2 * 96 / s and 3 * 96 / s.

    Reference:
      Liu et al., Auto-DeepLab, figure 3 and section 4.2, https://arxiv.org/abs/1901.02985.

    Example:
      >>> genotype = {"path": (0, 1), "cell": [[(0, "skip_connect"), (1, "max_pool_3x3")]]}
      >>> network = DecodedNetwork(genotype, filter_multiplier=4, num_classes=3)
      >>> network(tf.zeros([1, 33, 47, 3])).shape
      TensorShape([1, 33, 47, 3])

    Args:
      genotype: what `load_genotype` takes: a `Genotype`, a file, a preset, or a dict.
      filter_multiplier: F; the paper's S, M and L have 20, 32 and 48.
      num_classes: number of classes.
      sizes: filters of stem, ASPP and decoder: `NetworkSizes`, or its fields as a dict; the paper's
        by default.

    Attributes:
      backbone: the `DecodedBackbone`, made of the same layers.
    """

    def __init__(
        self,
        genotype,
        filter_multiplier: int,
        num_classes: int,
        sizes: Union[NetworkSizes, Dict[str, Any]] = PAPER_SIZES,
        **kwargs,
    ):
        if not isinstance(sizes, NetworkSizes):
            sizes = NetworkSizes(**sizes)
        backbone = DecodedBackbone(genotype, filter_multiplier, sizes.stem, name="backbone")
        images, x = backbone.input, backbone.output
        low_level = backbone.get_layer(backbone.low_level_layer).output
        pyramid = SpatialPyramidPooling(
            aspp_rates(backbone.genotype.path[-1]),
            sizes.aspp,
            separable=sizes.separable_head,
            name="aspp",
        )
        x = Drop(name="dropout")(pyramid(tf.nn.relu(x)))
        decoder = Decoder(
            num_classes, sizes.low_level, sizes.decoder, sizes.separable_head, name="decoder"
        )
        x = decoder((x, low_level))
        logits = ResizeLike(name="logits", dtype="float32")((x, images))
        super().__init__(images, logits, **kwargs)
        # As a function, so that its layers, which are the network's, are not tracked twice.
        self._get_backbone = lambda: backbone
        self.num_classes = num_classes
        self.sizes = sizes

    @property
    def backbone(self) -> DecodedBackbone:
        return self._get_backbone()

    def get_config(self):
        return {
            "name": self.name,
            "genotype": self.backbone.genotype.to_dict(),
            "filter_multiplier": self.backbone.filter_multiplier,
            "num_classes": self.num_classes,
            "sizes": self.sizes.to_dict(),
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)
