"""Segments images with TensorFlow Serving over REST.

python rest_client.py [--url=http://localhost:8501/v1/models/adl_tf] IMAGE...

It needs numpy and Pillow but not adl_tf: copy it to where you need it. Label maps are sent as text,
which takes longer than most networks; the gRPC client avoids that.
"""

import argparse
import base64
import io
import json
import re
import sys
import urllib.error
import urllib.request
from typing import Dict, List, Sequence

import numpy as np
from PIL import ExifTags, Image, ImageOps

INPUT = "image_bytes"


def build_request(images: Sequence[bytes], signature: str = "serving_default") -> bytes:
    """Body of a request.

    Args:
      images: contents of JPEG or PNG files.
      signature: `serving_default` or `serving_xla`.
    """
    instances = [{INPUT: {"b64": base64.b64encode(image).decode("ascii")}} for image in images]
    return json.dumps({"signature_name": signature, "instances": instances}).encode()


def parse_response(content: bytes) -> List[Dict[str, np.ndarray]]:
    """Outputs of each image by name: labels uint8 [H, W], others float32 [H, W, classes].

    Raises:
      ValueError: the server's error.
    """
    response = json.loads(content)
    if "error" in response:
        raise ValueError(response["error"])
    results = []
    for prediction in response["predictions"]:
        # A single output comes without its name.
        outputs = prediction if isinstance(prediction, dict) else {"labels": prediction}
        results.append(
            {
                name: np.array(value, np.uint8 if name == "labels" else np.float32)
                for name, value in outputs.items()
            }
        )
    return results


def predict(
    url: str, images: Sequence[bytes], timeout: float = 60.0
) -> List[Dict[str, np.ndarray]]:
    """Sends images and waits for their outputs; see `build_request` and `parse_response`.

    Args:
      url: URL of the model.
      images: contents of JPEG or PNG files.
      timeout: in seconds.

    Raises:
      OSError: no response.
      ValueError: the server's error, or a response that is not a model server's.
    """
    request = urllib.request.Request(f"{url}:predict", build_request(images))
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            return parse_response(response.read())
    except urllib.error.HTTPError as error:
        return parse_response(error.read())


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
    parser.add_argument("--url", default="http://localhost:8501/v1/models/adl_tf")
    parser.add_argument("images", nargs="+")
    options = parser.parse_args()
    for path in options.images:
        try:
            with open(path, "rb") as file:
                (result,) = predict(options.url, [decodable(file.read())])
        except (OSError, ValueError) as error:
            sys.exit(f"error: {path} at {options.url}: {one_line(str(error))}")
        Image.fromarray(result["labels"]).save(f"{path}.labels.png")


if __name__ == "__main__":
    main()
