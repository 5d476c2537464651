"""Requests that TensorFlow Serving replays when it loads an export.

The first request of a process would pay for the preparation of the graph; so recorded, no
user's request does.
"""

import os
from typing import Any, Dict

import numpy as np
import tensorflow as tf

WARMUP_FILE = os.path.join("assets.extra", "tf_serving_warmup_requests")
# Name under which the example in models.config and the docs serve an export.
MODEL_NAME = "adl_tf"
# Of the images where the export leaves it open.
_SIZE = (513, 513)


def warmup_inputs(image_bytes: tf.TensorSpec, images: tf.TensorSpec) -> Dict[str, Dict[str, Any]]:
    """Inputs to record, by signature.

    Args:
      image_bytes, images: what the signatures take; see `Servable`.
    """
    batch, *size, _ = images.shape
    shape = [batch or 1, *(_SIZE if None in size else size), 3]
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    encoded = [tf.io.encode_jpeg(image).numpy() for image in pixels]
    return {
        "serving_default": {image_bytes.name: np.array(encoded, object)},
        "serving_tensor": {images.name: pixels},
    }


def write_warmup(export_dir: str, image_bytes: tf.TensorSpec, images: tf.TensorSpec) -> int:
    """Writes the records of an export.

    Returns:
      how many; 0 without the package tensorflow-serving-api, which defines their format.
    """
    try:
        from tensorflow_serving.apis import predict_pb2, prediction_log_pb2
    except ImportError:
        return 0
    path = os.path.join(export_dir, WARMUP_FILE)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    requests = warmup_inputs(image_bytes, images)
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
