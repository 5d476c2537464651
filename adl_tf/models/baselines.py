"""keras-cv's DeepLabV3Plus, for comparison; `registry.NETWORKS` names its variants."""

import tensorflow as tf

from adl_tf.layers.convolution import spatial_size
from adl_tf.models.aspp import SpatialPyramidPooling
from adl_tf.models.image_network import ImageNetwork
from adl_tf.models.keras_cv_import import keras_cv

# Blocks per stack.
RESNETS = {
    "resnet26": (2, 2, 2, 2),
    "resnet50": (3, 4, 6, 3),
    "resnet101": (3, 4, 23, 3),
}
MOBILENET = "mobilenet_v3_small"
BACKBONES = (*RESNETS, MOBILENET)
_FILTERS = (64, 128, 256, 512)
# Table 2 of https://arxiv.org/abs/1905.02244: expansion, filters, kernel, stride, squeeze and
# excitation, activation of each block.
_MOBILENET_BLOCKS = (
    (1, 16, 3, 2, 0.25, "relu"),
    (72 / 16, 24, 3, 2, None, "relu"),
    (88 / 24, 24, 3, 1, None, "relu"),
    (4, 40, 5, 2, 0.25, "hard_swish"),
    (6, 40, 5, 1, 0.25, "hard_swish"),
    (6, 40, 5, 1, 0.25, "hard_swish"),
    (3, 48, 5, 1, 0.25, "hard_swish"),
    (3, 48, 5, 1, 0.25, "hard_swish"),
    (6, 96, 5, 2, 0.25, "hard_swish"),
    (6, 96, 5, 1, 0.25, "hard_swish"),
    (6, 96, 5, 1, 0.25, "hard_swish"),
)
# Its upsampling has fixed factors, so sides must be multiples of this.
_STRIDE = 32
# keras-cv's.
_ASPP_RATES = (6, 12, 18)
_EPSILON = 1e-3


@tf.keras.utils.register_keras_serializable(package="adl_tf")
class _PadToStride(tf.keras.layers.Layer):
    """Pads [B, H, W, C] with zeros at the bottom and the right to multiples of the stride."""

    def call(self, x):
        height, width = spatial_size(x)
        return tf.pad(x, [[0, 0], [0, -height % _STRIDE], [0, -width % _STRIDE], [0, 0]])


@tf.keras.utils.register_keras_serializable(package="adl_tf")
class _CropLike(tf.keras.layers.Layer):
    """Cuts the first input to the size of the second."""

    def call(self, inputs):
        x, like = inputs
        height, width = spatial_size(like)
        return x[:, :height, :width]


def _make_backbone(name: str, width: float):
    """keras-cv's backbone, from its generic class: the named ones look for weights online even if
    none are wanted."""
    if name == MOBILENET:
        expansion, filters, kernels, strides, ratios, activations = zip(*_MOBILENET_BLOCKS)
        return keras_cv.models.MobileNetV3Backbone(
            stackwise_expansion=list(expansion),
            stackwise_filters=list(filters),
            stackwise_kernel_size=list(kernels),
            stackwise_stride=list(strides),
            stackwise_se_ratio=list(ratios),
            stackwise_activation=list(activations),
            include_rescaling=False,
            alpha=width,
        )
    return keras_cv.models.ResNetV2Backbone(
        stackwise_filters=[int(width * filters) for filters in _FILTERS],
        stackwise_blocks=list(RESNETS[name]),
        stackwise_strides=[1, 2, 2, 2],
        include_rescaling=False,
    )


def _logits_head(num_classes: int, filters: int) -> tf.keras.Sequential:
    """keras-cv's own head without its final softmax."""
    layers = tf.keras.layers
    return tf.keras.Sequential(
        [
            layers.Conv2D(filters, 1, use_bias=False, name="segmentation_head_conv"),
            layers.BatchNormalization(name="segmentation_head_norm"),
            layers.ReLU(name="segmentation_head_relu"),
            layers.UpSampling2D(4, interpolation="bilinear"),
            layers.Conv2D(
                num_classes, 1, use_bias=False, dtype="float32", name="segmentation_output"
            ),
        ],
        name="head",
    )


@tf.keras.utils.register_keras_serializable(package="adl_tf")
class DeepLabV3Plus(ImageNetwork, tf.keras.Model):
    """keras-cv's DeepLabV3Plus with a ResNet-V2 or a MobileNetV3, without pretrained weights.

    Maps float32 images [B, H, W, 3] in [-1, 1], of any size, to float32 logits
    [B, H, W, num_classes].

    Args:
      backbone: one of `BACKBONES`.
      num_classes: number of classes.
      width: factor of the backbone's filters.
      head_filters: filters of ASPP and head.
      low_level_filters: filters of the projected features of the backbone's stride 4.

    Raises:
      ValueError: another backbone.
    """

    def __init__(
        self,
        backbone: str,
        num_classes: int,
        width: float = 1.0,
        head_filters: int = 256,
        low_level_filters: int = 48,
        **kwargs,
    ):
        if backbone not in BACKBONES:
            raise ValueError(f"backbone {backbone!r}: choose from {list(BACKBONES)}.")
        network = keras_cv.models.DeepLabV3Plus(
            backbone=_make_backbone(backbone, width),
            num_classes=num_classes,
            projection_filters=low_level_filters,
            # keras-cv's own would add up pixels in bfloat16.
            spatial_pyramid_pooling=SpatialPyramidPooling(
                _ASPP_RATES, head_filters, epsilon=_EPSILON, name="aspp"
            ),
            segmentation_head=_logits_head(num_classes, head_filters),
        )
        # Without the backbone's last batch norm, which nothing reads and Keras does not save.
        network = tf.keras.Model(network.input, network.output, name=network.name)
        images = tf.keras.Input((None, None, 3))
        logits = _CropLike(name="logits", dtype="float32")(
            (network(_PadToStride(name="pad")(images)), images)
        )
        kwargs.setdefault("name", f"deeplab_v3_plus_{backbone}")
        super().__init__(images, logits, **kwargs)
        self.backbone = backbone
        self.num_classes = num_classes
        self.width = width
        self.head_filters = head_filters
        self.low_level_filters = low_level_filters

    def get_config(self):
        names = (
            "name",
            "backbone",
            "num_classes",
            "width",
            "head_filters",
            "low_level_filters",
        )
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)
