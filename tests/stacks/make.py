"""Writes what the other stack must be able to read; run it once on each, see setup.py.

python tests/stacks/make.py tests/stacks/classic     (Python 3.11)
python tests/stacks/make.py tests/stacks/current     (Python 3.12)

A network with its weights, an export of it, a genotype, a checkpoint of a training whose weights
are averaged, and what the network says about an image.
"""

import os
import shutil
import sys

import numpy as np

import adl_tf  # Before TensorFlow: it chooses the Keras.
from adl_tf.models.registry import write_network_description
from adl_tf.models.weights import save_weights
from adl_tf.serving.export import export_network
from adl_tf.space.genotype import Genotype, save_genotype
from adl_tf.space.network_sizes import NetworkSizes
from adl_tf.system.files import make_directory
from adl_tf.training.optimizers import training_optimizer
from adl_tf.training.training_model import TrainingModel

# isort: split
import tensorflow as tf

GENOTYPE = Genotype((0, 1), [[(0, "sep_conv_3x3"), (1, "atrous_conv_3x3")]])
SIZES = NetworkSizes(stem=(4, 4, 8), aspp=8, low_level=4, decoder=8)
CLASSES, SIZE, STEPS = 3, (17, 25), 4


def make_image():
    """uint8 [1, H, W, 3]."""
    return np.random.default_rng(5).integers(0, 256, (1, *SIZE, 3), np.uint8)


def make_training(network):
    """A training of a network, and a batch for it."""
    model = TrainingModel(network)
    model.compile(training_optimizer(total_steps=10, average_decay=0.9))
    model.build((None, *SIZE, 3))
    labels = np.random.default_rng(6).integers(0, CLASSES, (2, *SIZE)).astype(np.int32)
    images = np.random.default_rng(7).normal(size=(2, *SIZE, 3)).astype(np.float32)
    return model, {"image": images, "label": labels, "position": np.arange(2)}


def train(model, batch, steps):
    """Trains on one batch."""
    model.fit(tf.data.Dataset.from_tensors(batch).repeat(), steps_per_epoch=steps, verbose=0)


def main(folder):
    shutil.rmtree(folder, ignore_errors=True)
    make_directory(folder)
    tf.keras.utils.set_random_seed(3)
    description = adl_tf.NetworkDescription("decoded", CLASSES, GENOTYPE, 2, sizes=SIZES)
    network = adl_tf.build_network(description)
    model, batch = make_training(network)
    train(model, batch, STEPS)
    tf.train.Checkpoint(model=model, optimizer=model.optimizer).write(
        os.path.join(folder, "training")
    )
    model_dir = os.path.join(folder, "network")
    os.makedirs(model_dir)
    write_network_description(description, model_dir)
    save_weights(network, model_dir, "best")
    save_genotype(GENOTYPE, os.path.join(folder, "genotype.json"))
    export = export_network(model_dir, os.path.join(folder, "export"))["export_dir"]
    shutil.rmtree(os.path.join(export, "assets.extra"), ignore_errors=True)  # Large requests.
    image = make_image()
    logits = adl_tf.load_network(model_dir)(adl_tf.normalize(image), training=False).numpy()
    np.save(os.path.join(folder, "logits.npy"), logits)
    train(model, batch, 2)
    np.savez(
        os.path.join(folder, "trained_on.npz"), *[v.numpy() for v in network.trainable_variables]
    )


if __name__ == "__main__":
    main(sys.argv[1])
