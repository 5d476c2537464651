"""Segments images with TensorFlow Serving over gRPC.

python grpc_client.py [--address=localhost:8500] IMAGE...

It needs tensorflow-serving-api and Pillow but not adl_tf: copy it to where you need it.
"""

import argparse
import io
import re
import sys
from typing import Dict, Sequence

import grpc
import numpy as np
import tensorflow as tf
from PIL import ExifTags, Image, ImageOps
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

# gRPC's own limit of 4 MiB is less than the logits of one image.
_MAX_MESSAGE = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


def bytes_request(
    images: Sequence[bytes], model: str = "adl_tf", signature: str = "serving_default"
) -> predict_pb2.PredictRequest:
    """Request with the contents of JPEG or PNG files.

    Args:
      images: the contents.
      model: name of the export on the server.
      signature: `serving_default` or `serving_xla`.
    """
    return _request(model, signature, image_bytes=tf.make_tensor_proto(list(images), tf.string))


def tensor_request(
    images: np.ndarray, model: str = "adl_tf", signature: str = "serving_tensor"
) -> predict_pb2.PredictRequest:
    """Request with pixels.

    Args:
      images: uint8 [B, H, W, 3].
      model: name of the export on the server.
      signature: `serving_tensor` or `serving_tensor_xla`.
    """
    return _request(model, signature, images=tf.make_tensor_proto(images, tf.uint8))


def _request(model, signature, **inputs):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    for name, tensor in inputs.items():
        request.inputs[name].CopyFrom(tensor)
    return request


def parse_response(response: predict_pb2.PredictResponse) -> Dict[str, np.ndarray]:
    """Outputs by name: labels uint8 [B, H, W], others float32 [B, H, W, classes]."""
    return {name: tf.make_ndarray(tensor) for name, tensor in response.outputs.items()}


def predict(address: str, request: predict_pb2.PredictRequest, timeout: float = 60.0):
    """Sends a request and waits for its outputs; see `parse_response`.

    Raises:
      grpc.RpcError: the server's error; `details()` says what was wrong.
    """
    with grpc.insecure_channel(address, _MAX_MESSAGE) as channel:
        service = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        return parse_response(service.Predict(request, timeout))


def decodable(content: bytes) -> bytes:
    """An image that the server decodes to what is shown: it knows JPEG and PNG, no Exif data.

    Other files, and photos that are turned, become PNG; of 16 bits the upper eight are taken.
    """
    try:
        with Image.open(io.BytesIO(content)) as image:
            turned = image.getexif().get(ExifTags.Base.Orientation) in range(2, 9)
            if turned or image.format not in ("JPEG", "MPO", "PNG"):
                shown = ImageOps.exif_transpose(image)
                if shown.mode.startswith("I"):
                    shown = Image.fromarray((np.asarray(shown) >> 8).astype(np.uint8))
                buffer = io.BytesIO()
                shown.convert("RGB").save(buffer, "PNG")
                return buffer.getvalue()
    except Exception:
        pass  # Not an image, or a damaged one: the server says so.
    return content


def one_line(text: str) -> str:
    """A server's message in one line, without the names of what is inside the model."""
    text = re.sub(r"\[\[.*?\]\]|\{\{.*?\}\}|\[Op:.*?\]|assertion failed: |\(\d\) \w+: ", "", text)
    return " ".join(text.split())


def main() -> None:
    """Writes IMAGE.labels.png beside each image."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--address", default="localhost:8500")
    parser.add_argument("--model", default="adl_tf")
    parser.add_argument("images", nargs="+")
    options = parser.parse_args()
    for path in options.images:
        try:
            with open(path, "rb") as file:
                request = bytes_request([decodable(file.read())], options.model)
            labels = predict(options.address, request)["labels"]
        except OSError as error:
            sys.exit(f"error: {error}")
        except grpc.RpcError as error:
            sys.exit(f"error: {path} at {options.address}: {one_line(error.details())}")
        Image.fromarray(labels[0]).save(f"{path}.labels.png")


if __name__ == "__main__":
    main()
