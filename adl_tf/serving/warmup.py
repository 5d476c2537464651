"""Requests that TensorFlow Serving replays when it loads an export.

The first request of a process pays for preparing the graph; with these, no user's request does.
"""

import math
import os
from typing import Any, Dict

import numpy as np
import tensorflow as tf

WARMUP_FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")
# Name of the export in models.config and the docs.
MODEL_NAME = "adl_tf"
# Height and width of the images for an export of any size.
_SIDE = 513


def warmup_inputs(
    image_bytes: tf.TensorSpec, images: tf.TensorSpec, max_pixels: int
) -> Dict[str, Dict[str, Any]]:
    """Inputs to record, by signature.

    Args:
      image_bytes: string [B].
      images: uint8 [B, H, W, 3]; B, H and W may be open.
      max_pixels: most pixels of a batch; a server does not load an export that refuses its own
        warm-up.
    """
    batch, *size, _ = images.shape
    batch = batch or 1
    side = max(1, min(_SIDE, math.isqrt(max_pixels // batch)))
    random = np.random.default_rng(0)
    # To be resized by the export if its size is fixed.
    small = random.integers(0, 256, [batch, side, side, 3], np.uint8)
    encoded = [tf.io.encode_jpeg(image).numpy() for image in small]
    pixels = small if None in size else random.integers(0, 256, [batch, *size, 3], np.uint8)
    return {
        "serving_default": {image_bytes.name: np.array(encoded, object)},
        "serving_tensor": {images.name: pixels},
    }


def write_warmup(
    export_dir: str, image_bytes: tf.TensorSpec, images: tf.TensorSpec, max_pixels: int
) -> int:
    """Writes the records of an export; see `warmup_inputs`.

    Returns:
      how many; 0 without the package tensorflow-serving-api, which defines their format.
    """
    try:
        from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
    except ImportError:
        return 0
    path = os.path.join(export_dir, WARMUP_FILE)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    requests = warmup_inputs(image_bytes, images, max_pixels)
    with tf.io.TFRecordWriter(path) as writer:
        for signature, inputs in requests.items():
            request = predict_pb2.PredictRequest()
            request.model_spec.name = MODEL_NAME
            request.model_spec.signature_name = signature
            for name, value in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictionLog(
                predict_log=prediction_log_pb2.PredictLog(request=request)
            )
            writer.write(log.SerializeToString())
    return len(requests)
