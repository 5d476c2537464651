"""A small trained network on disk, and images for it."""

import json
import os

import numpy as np
import tensorflow as tf
from PIL import Image

from adl_tf.models.registry import NetworkDescription, build_network, write_network_description
from adl_tf.models.weights import save_weights
from adl_tf.space.genotype import Genotype

CLASSES = ("road", "sky", "tree", "car")
COLORS = ((128, 64, 128), (70, 130, 180), (107, 142, 35), (0, 0, 142))
# Every kind of op, and a move down and one up.
GENOTYPE = Genotype(
    path=(0, 1, 0),
    cell=(
        ((0, "sep_conv_5x5"), (1, "atrous_conv_3x3")),
        ((2, "max_pool_3x3"), (1, "skip_connect")),
        ((3, "sep_conv_3x3"), (2, "none")),
    ),
)


def random_image(height, width, seed=0):
    """uint8 [height, width, 3], smooth enough for JPEG."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return np.asarray(Image.fromarray(noise).resize((width, height), Image.Resampling.BICUBIC))


def png(image):
    return tf.io.encode_png(image).numpy()


def jpeg(image):
    return tf.io.encode_jpeg(image, quality=95).numpy()


def write_network(model_dir):
    """Writes a network whose batch norms have seen images; returns its description."""
    os.makedirs(model_dir)
    description = NetworkDescription("decoded", len(CLASSES), GENOTYPE, filter_multiplier=4)
    tf.keras.utils.set_random_seed(1)
    network = build_network(description)
    random = np.random.default_rng(0)
    for variable in network.variables:
        name = variable.name.rpartition("/")[2]
        if name in ("gamma:0", "moving_variance:0"):
            variable.assign(random.uniform(0.5, 2.0, variable.shape))
        elif name in ("beta:0", "moving_mean:0"):
            variable.assign(random.normal(0.0, 0.3, variable.shape))
    # Logits of a few units, as a trained network has them.
    classifier = network.get_layer("decoder").classifier
    classifier.kernel.assign(0.1 * classifier.kernel)
    write_network_description(description, model_dir)
    save_weights(network, model_dir, "best")
    with open(os.path.join(model_dir, "classes.json"), "w") as file:
        json.dump({"class_names": CLASSES, "colors": COLORS}, file)
    return description
