"""Labels images with a file of an export, in a process that has its runtime and nothing else.

python -m adl_tf.serving.run_edge FILE IMAGES.npy LABELS.npy

IMAGES.npy is uint8 [N, H, W, 3], LABELS.npy becomes int32 [N, H, W]. Prints one JSON line: seconds,
of the median image.
"""

import json
import os
import statistics
import sys
import time
from typing import Callable

import numpy as np


def open_file(path: str, precision: str = "f32") -> Callable[[np.ndarray], np.ndarray]:
    """A function from uint8 [1, H, W, 3] to int32 [1, H, W].

    Args:
      path: path of the file.
      precision: that OpenVINO computes floats in: "f32" or "bf16".
    """
    suffix = os.path.splitext(path)[1]
    if suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        (images,) = session.get_inputs()
        return lambda batch: session.run(None, {images.name: batch})[0]
    if suffix == ".xml":
        import openvino

        # Without the hint, some processors compute in bfloat16.
        options = {"INFERENCE_PRECISION_HINT": precision}
        compiled = openvino.Core().compile_model(path, "CPU", options)
        return lambda batch: compiled(batch)[0]
    import tensorflow as tf

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    runner = tf.lite.Interpreter(model_path=path, num_threads=cores).get_signature_runner()
    return lambda batch: runner(images=batch)["labels"]


def main() -> None:
    path, images_file, labels_file = sys.argv[1:]
    label = open_file(path)
    labels, seconds = [], []
    for image in np.load(images_file):
        started = time.perf_counter()
        labels.append(np.array(label(image[None])[0], np.int32))
        seconds.append(time.perf_counter() - started)
    np.save(labels_file, np.stack(labels))
    print(json.dumps({"seconds": statistics.median(seconds)}))


if __name__ == "__main__":
    main()
