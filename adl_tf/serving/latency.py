"""Time per image of an export and of the Keras model that it was made of."""

import statistics
import time
from typing import Dict

import numpy as np
import tensorflow as tf

from adl_tf.data.description import Size
from adl_tf.data.normalization import normalize
from adl_tf.models.weights import load_network
from adl_tf.serving.versions import find_export


def measure_latency(
    model_dir: str, export_dir: str, image_size: Size, repeats: int = 5
) -> Dict[str, float]:
    """Labels one image of noise by both, in turns.

    Args:
      model_dir: model directory of the trained network.
      export_dir: directory of its export, or of versions of it.
      image_size: (height, width) in pixels.
      repeats: timed runs of each, after one that is not timed.

    Returns:
      medians in seconds: export, keras.

    Raises:
      FileNotFoundError: no trained network or no export there.
    """
    network = load_network(model_dir)
    loaded = tf.saved_model.load(find_export(export_dir))  # Its functions need it.
    signature = loaded.signatures["serving_tensor"]
    keras = tf.function(
        lambda images: tf.argmax(network(normalize(images), training=False), -1), autograph=False
    )
    contenders = {"export": lambda images: signature(images=images)["labels"], "keras": keras}
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (1, *image_size, 3), np.uint8))
    seconds = {name: [] for name in contenders}
    for _ in range(repeats + 1):
        for name, run in contenders.items():
            started = time.perf_counter()
            run(images).numpy()
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(times[1:]) for name, times in seconds.items()}
