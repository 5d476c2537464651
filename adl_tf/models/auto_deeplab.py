"""The network of a genotype: encoder, ASPP, decoder (paper, figure 3 and section 4.2)."""

from typing import Any, Dict, Union

import tensorflow as tf

from adl_tf.layers.cell import Cell
from adl_tf.layers.drop import Drop
from adl_tf.layers.stem import Stem
from adl_tf.models.aspp import SpatialPyramidPooling
from adl_tf.models.decoder import Decoder, ResizeLike
from adl_tf.models.keras_cv_import import keras_cv
from adl_tf.space.genotype import Genotype
from adl_tf.space.search_space import MOVE_OFFSETS, MOVES, aspp_rates, level_stride

# The decoder reads the cell that leaves stride 4, but none beyond the third.
_LOW_LEVEL_LAYERS = 3


@tf.keras.utils.register_keras_serializable(package="adl_tf")
class DecodedBackbone(keras_cv.models.Backbone):
    """Stem and cells of a genotype, as a keras-cv backbone.

    Images are float32 [B, H, W, 3] in [-1, 1], of any size; the output is that of the last
    cell, without a relu. `pyramid_level_inputs` names the last cell at each stride, "P2" for
    stride 4 to "P5" for stride 32, as far as the path goes.

    Args:
      genotype: a `Genotype`, or its fields as a dict.
      filter_multiplier: F; a block at stride s has F * s / 4 filters.
      input_shape: [H, W, 3], None for sizes that vary.

    Attributes:
      low_level_layer: name of the cell that the decoder reads, at stride 4.
    """

    def __init__(
        self,
        genotype: Union[Genotype, Dict[str, Any]],
        filter_multiplier: int = 20,
        input_shape=(None, None, 3),
        **kwargs,
    ):
        if not isinstance(genotype, Genotype):
            genotype = Genotype(**genotype)
        images = tf.keras.Input(input_shape)
        before_previous, previous = Stem(name="stem")(images)
        names, sizes_like, low_level = {}, {}, None
        for layer, level in enumerate(genotype.path):
            offset = level - genotype.path[layer - 1] if layer else 0
            name = f"cell_{layer + 1}_stride_{level_stride(level)}"
            cell = Cell(
                genotype.cell,
                filters=filter_multiplier * 2**level,
                move=MOVES[MOVE_OFFSETS.index(offset)],
                name=name,
            )
            # Every level above was passed on the way down.
            output = cell((previous, before_previous), size_like=sizes_like.get(level, previous))
            before_previous, previous = previous, output
            sizes_like.setdefault(level, output)
            names[f"P{level + 2}"] = name
            if level == 0 and layer < _LOW_LEVEL_LAYERS:
                low_level = name
        super().__init__(inputs=images, outputs=previous, **kwargs)
        self.genotype = genotype
        self.filter_multiplier = filter_multiplier
        self.pyramid_level_inputs = names
        self.low_level_layer = low_level

    def get_config(self):
        return {
            **super().get_config(),
            "genotype": self.genotype.to_dict(),
            "filter_multiplier": self.filter_multiplier,
            "input_shape": self.input_shape[1:],
        }


@tf.keras.utils.register_keras_serializable(package="adl_tf")
class DecodedNetwork(tf.keras.Model):
    """Encoder, ASPP and decoder.

    Maps float32 images [B, H, W, 3] in [-1, 1], of any size, to float32 logits
    [B, H, W, num_classes].

    Args:
      genotype: a `Genotype`, or its fields as a dict.
      filter_multiplier: F; the paper's S, M and L have 20, 32 and 48.
      num_classes: number of classes.

    Attributes:
      backbone: the `DecodedBackbone`, made of the same layers.
    """

    def __init__(self, genotype, filter_multiplier: int, num_classes: int, **kwargs):
        backbone = DecodedBackbone(genotype, filter_multiplier, name="backbone")
        images, x = backbone.input, backbone.output
        low_level = backbone.get_layer(backbone.low_level_layer).output
        pyramid = SpatialPyramidPooling(aspp_rates(backbone.genotype.path[-1]), name="aspp")
        x = Drop(name="dropout")(pyramid(tf.nn.relu(x)))
        x = Decoder(num_classes, name="decoder")((x, low_level))
        logits = ResizeLike(name="logits", dtype="float32")((x, images))
        super().__init__(images, logits, **kwargs)
        # As a function, so that its layers, which are the network's, are not tracked twice.
        self._get_backbone = lambda: backbone
        self.num_classes = num_classes

    @property
    def backbone(self) -> DecodedBackbone:
        return self._get_backbone()

    def get_config(self):
        return {
            "name": self.name,
            "genotype": self.backbone.genotype.to_dict(),
            "filter_multiplier": self.backbone.filter_multiplier,
            "num_classes": self.num_classes,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)
