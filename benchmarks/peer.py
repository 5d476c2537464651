"""The reference network of the paper's authors as a graph: what both benchmarks of it share.

It runs in a Python of its own, which has tensorflow and tf_slim, on a checkout of
github.com/tensorflow/models (research/deeplab).
"""

import os
import sys

FLAGS = [
    "--model_variant=nas_hnasnet",
    "--decoder_output_stride=4",
    # Full convolutions in its head, as the paper counts them.
    "--aspp_with_separable_conv=false",
    "--decoder_use_separable_conv=false",
]


def import_peer(checkout, filter_multiplier=20):
    """Imports the peer's packages under today's TensorFlow; returns (common, model)."""
    import importlib
    import types

    import numpy as np
    import tensorflow.compat.v1 as tf
    import tf_slim
    from tf_slim.nets import resnet_utils

    class HParams(types.SimpleNamespace):
        """As much as the peer uses of the class of that name."""

        def set_hparam(self, name, value):
            setattr(self, name, value)

    np.int = int  # An old name for it.
    # What the peer imports from TensorFlow 1 is a package of its own today, in which the name
    # of the sub-package `layers` stands for one of its modules.
    layers = sys.modules["tf_slim.layers"]
    training = types.ModuleType("training")
    training.HParams = HParams
    for name, module in {
        "": types.ModuleType("contrib"),
        ".slim": tf_slim,
        ".slim.nets": types.SimpleNamespace(resnet_utils=resnet_utils),
        ".framework": tf_slim,
        ".layers": layers,
        ".layers.python": tf_slim,
        ".layers.python.layers": layers,
        ".training": training,
    }.items():
        sys.modules[f"tensorflow.contrib{name}"] = module
        if name.count(".") == 1:
            setattr(sys.modules["tensorflow.contrib"], name[1:], module)
    # TensorFlow 2.15 looks for these under a name that no package has.
    for name in ("base", "convolutional", "core", "normalization", "pooling"):
        module = importlib.import_module(f"keras.src.legacy_tf_layers.{name}")
        sys.modules[f"tf_keras.legacy_tf_layers.{name}"] = module
    sys.path[:0] = [os.path.join(checkout, "research"), os.path.join(checkout, "research", "slim")]
    from deeplab import common, model

    tf.disable_v2_behavior()
    flags = [*FLAGS, f"--nas_stem_output_num_conv_filters={filter_multiplier}"]
    tf.app.flags.FLAGS(["peer", *flags])
    return common, model
