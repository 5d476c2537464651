"""The network of a genotype: encoder, ASPP, decoder (paper, figure 3 and section 4.2)."""

from typing import Any, Dict, Union

import tensorflow as tf

from adl_tf.layers.cell import Cell, batch_norm_layer
from adl_tf.layers.convolution import resize, spatial_size
from adl_tf.layers.stem import Stem
from adl_tf.models.vision import SpatialPyramidPooling, keras_cv
from adl_tf.space.genotype import Genotype
from adl_tf.space.search_space import ASPP_FIELD, MOVE_OFFSETS, MOVES, level_stride

# The decoder reads the cell that leaves stride 4, but none beyond the third.
_LOW_LEVEL_LAYERS = 3
_LOW_LEVEL_FILTERS = 48
_HEAD_FILTERS = 256


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
        earlier, previous = Stem(name="stem")(images)
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
            output = cell((previous, earlier), size_like=sizes_like.get(level, previous))
            earlier, previous = previous, output
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
class Decoder(tf.keras.layers.Layer):
    """Decoder of DeepLabv3+: features joined with finer ones, two 3x3 convolutions, classes.

    Args:
      num_classes: number of classes.
    """

    def __init__(self, num_classes: int, **kwargs):
        super().__init__(**kwargs)
        self.num_classes = num_classes
        self.projection = _ConvNormRelu(_LOW_LEVEL_FILTERS, 1, name="low_level")
        self.convolutions = [
            _ConvNormRelu(_HEAD_FILTERS, 3, name=f"refine_{index}") for index in range(2)
        ]
        # Rounded to bfloat16, logits of 10 would be off by up to 0.03, and labels with them.
        self.classifier = tf.keras.layers.Conv2D(num_classes, 1, dtype="float32", name="classifier")

    def get_config(self):
        return {**super().get_config(), "num_classes": self.num_classes}

    def call(self, inputs, training=False):
        """(coarse [B, h, w, C], fine [B, H, W, D]) -> logits [B, H, W, classes]."""
        coarse, fine = inputs
        fine = self.projection(tf.nn.relu(fine), training=training)
        x = tf.concat([resize(coarse, spatial_size(fine)), fine], axis=-1)
        for convolution in self.convolutions:
            x = convolution(x, training=training)
        return self.classifier(x)


class _ConvNormRelu(tf.keras.layers.Layer):
    """SAME convolution without bias, batch norm, relu."""

    def __init__(self, filters, kernel_size, **kwargs):
        super().__init__(**kwargs)
        self.convolution = tf.keras.layers.Conv2D(
            filters,
            kernel_size,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
            name="convolution",
        )
        self.norm = batch_norm_layer("norm")

    def call(self, x, training=False):
        return tf.nn.relu(self.norm(self.convolution(x), training=training))


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
        stride = level_stride(backbone.genotype.path[-1])
        pyramid = SpatialPyramidPooling(
            dilation_rates=[max(1, times * ASPP_FIELD // stride) for times in (1, 2, 3)],
            num_channels=_HEAD_FILTERS,
            name="aspp",
        )
        x = Decoder(num_classes, name="decoder")((pyramid(tf.nn.relu(x)), low_level))
        logits = _ResizeLike(name="logits", dtype="float32")((x, images))
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


class _ResizeLike(tf.keras.layers.Layer):
    """Resizes the first input to the size of the second."""

    def call(self, inputs):
        x, like = inputs
        return resize(x, spatial_size(like))
