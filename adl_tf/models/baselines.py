"""keras-cv's DeepLabV3Plus, for comparison; `registry.NETWORKS` names its variants."""

import tensorflow as tf

from adl_tf.layers.convolution import spatial_size
from adl_tf.models.aspp import SpatialPyramidPooling
from adl_tf.models.image_network import ImageNetwork
from adl_tf.models.keras_cv_import import keras_cv

# ResNet depth -> blocks per stack.
RESNET_BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}
_FILTERS = (64, 128, 256, 512)
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


def _logits_head(num_classes: int) -> tf.keras.Sequential:
    """keras-cv's own head without its final softmax."""
    layers = tf.keras.layers
    return tf.keras.Sequential(
        [
            layers.Conv2D(256, 1, use_bias=False, name="segmentation_head_conv"),
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
    """keras-cv's DeepLabV3Plus with a ResNet-V2 backbone, without pretrained weights.

    Maps float32 images [B, H, W, 3] in [-1, 1], of any size, to float32 logits
    [B, H, W, num_classes].

    Args:
      resnet: depth of the ResNet, 50 or 101.
      num_classes: number of classes.
      width: factor of the ResNet's filters.

    Raises:
      ValueError: another depth.
    """

    def __init__(self, resnet: int, num_classes: int, width: float = 1.0, **kwargs):
        if resnet not in RESNET_BLOCKS:
            raise ValueError(f"resnet {resnet}: choose from {list(RESNET_BLOCKS)}.")
        # The named ResNet classes look for weights online even if none are wanted.
        backbone = keras_cv.models.ResNetV2Backbone(
            stackwise_filters=[int(width * filters) for filters in _FILTERS],
            stackwise_blocks=list(RESNET_BLOCKS[resnet]),
            stackwise_strides=[1, 2, 2, 2],
            include_rescaling=False,
        )
        network = keras_cv.models.DeepLabV3Plus(
            backbone=backbone,
            num_classes=num_classes,
            # keras-cv's own would add up pixels in bfloat16.
            spatial_pyramid_pooling=SpatialPyramidPooling(
                _ASPP_RATES, epsilon=_EPSILON, name="aspp"
            ),
            segmentation_head=_logits_head(num_classes),
        )
        # Without the backbone's last batch norm, which nothing reads and Keras does not save.
        network = tf.keras.Model(network.input, network.output, name=network.name)
        images = tf.keras.Input((None, None, 3))
        logits = _CropLike(name="logits", dtype="float32")(
            (network(_PadToStride(name="pad")(images)), images)
        )
        kwargs.setdefault("name", f"deeplab_v3_plus_resnet{resnet}")
        super().__init__(images, logits, **kwargs)
        self.resnet = resnet
        self.num_classes = num_classes
        self.width = width

    def get_config(self):
        names = ("name", "resnet", "num_classes", "width")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        return cls(**config)
