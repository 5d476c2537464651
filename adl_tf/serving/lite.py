"""The network as one file for TensorFlow Lite, for phones and small boards."""

import os

import numpy as np
import tensorflow as tf

from adl_tf.data.normalization import normalize
from adl_tf.serving.body import Body

LITE_FILE = os.path.join("assets.extra", "network.tflite")


def write_lite(body: Body, export_dir: str) -> float:
    """Converts a network, and checks the result with TensorFlow Lite's interpreter.

    The file's only signature maps `images`, uint8 [B, H, W, 3], to `labels`, int32 [B, H, W];
    B is 1 where the export leaves it open.

    Args:
      body: of float32, for one image size.
      export_dir: gets the file `LITE_FILE`.

    Returns:
      the share of a random image's pixels that TensorFlow labels alike.
    """
    batch, *rest = body.spec.shape
    spec = tf.TensorSpec([batch or 1, *rest], tf.uint8, name="images")
    function = tf.function(
        lambda images: {"labels": tf.argmax(body(normalize(images)), -1, tf.int32)},
        input_signature=[spec],
        autograph=False,
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [function.get_concrete_function()], body
    )
    content = converter.convert()
    path = os.path.join(export_dir, LITE_FILE)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(content)
    images = np.random.default_rng(0).integers(0, 256, spec.shape, np.uint8)
    interpreter = tf.lite.Interpreter(model_path=path)
    labels = interpreter.get_signature_runner()(images=images)["labels"]
    return float(np.mean(labels == function(tf.constant(images))["labels"]))
