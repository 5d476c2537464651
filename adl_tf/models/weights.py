"""The weights of a model directory: saved, found, loaded, and those that a training starts from."""

import dataclasses
import os
from typing import List

import tensorflow as tf

from adl_tf.model_directory import BEST, CHECKPOINTS, COMPACT_WEIGHTS_FILE, WEIGHTS
from adl_tf.models.checkpoint_files import (
    checkpoint_number,
    find_damage,
    finish_writing,
    list_checkpoints,
    newest_checkpoint,
    remove_checkpoint,
    write_checkpoint,
)
from adl_tf.models.compact_weights import read_compact, write_compact
from adl_tf.models.registry import NetworkDescription, build_network, read_network_description


def save_weights(network: tf.keras.Model, model_dir: str, name: str) -> None:
    """Writes the network's weights as checkpoint "best" or "last".

    Beside those before, which are removed afterwards, so that a kill leaves one of the two whole.
    """
    folder = os.path.join(model_dir, name)
    finish_writing(folder, WEIGHTS)
    before = list_checkpoints(folder, WEIGHTS)
    number = 1 + max(map(checkpoint_number, before), default=0)
    path = os.path.join(folder, f"{WEIGHTS}-{number}")
    write_checkpoint(tf.train.Checkpoint(network=network), path)
    for other in before:
        remove_checkpoint(other)


def find_weights(model_dir: str, checkpoint: str) -> str:
    """Path, without extension, of a checkpoint.

    Args:
      model_dir: model directory of a training run.
      checkpoint: "best" or "last", or the path itself.

    Raises:
      FileNotFoundError: no such checkpoint.
      ValueError: it is damaged.
    """
    path = checkpoint
    if checkpoint in CHECKPOINTS:
        folder = os.path.join(model_dir, checkpoint)
        path = newest_checkpoint(folder, WEIGHTS) or os.path.join(folder, WEIGHTS)
    if not os.path.exists(f"{path}.index"):
        raise FileNotFoundError(
            f"{path}: no such checkpoint; a training run writes {' and '.join(CHECKPOINTS)} "
            "when it scores the validation images."
        )
    damage = find_damage(path)
    if damage:
        raise ValueError(f"{path} is damaged ({damage}): restore its files, or use another.")
    return path


def save_compact_weights(network: tf.keras.Model, model_dir: str) -> None:
    """Writes the network's weights in float16, which `load_network` takes for the best ones."""
    write_compact(_variables(network), os.path.join(model_dir, COMPACT_WEIGHTS_FILE))


def load_network(model_dir: str, checkpoint: str = BEST) -> tf.keras.Model:
    """Builds the network of a model directory with trained weights.

    Args:
      model_dir: model directory of a training run, or of a preset.
      checkpoint: "best" or "last", or the path of a checkpoint without its extension.

    Returns:
      see `build_network`.

    Raises:
      FileNotFoundError: no network or no such checkpoint.
      ValueError: the checkpoint is of another network.
    """
    description = read_network_description(model_dir)
    network = build_network(description)
    compact = os.path.join(model_dir, COMPACT_WEIGHTS_FILE)
    trained = os.path.isdir(os.path.join(model_dir, BEST))
    if checkpoint == BEST and os.path.exists(compact) and not trained:
        read_compact(_variables(network), compact)
        return network
    path = find_weights(model_dir, checkpoint)  # Late, since a training may replace them.
    try:
        # `restore` would want a save counter, which `write` leaves out.
        status = tf.train.Checkpoint(network=network).read(path)
        status.expect_partial().assert_existing_objects_matched()
    except (AssertionError, ValueError, tf.errors.OpError) as error:
        raise ValueError(
            f"checkpoint {path} is of another network than {model_dir} describes (genotype, "
            f"filter multiplier or number of classes differ): {str(error).splitlines()[0]}"
        ) from error
    return network


def initialize_from(
    network: tf.keras.Model, description: NetworkDescription, model_dir: str
) -> None:
    """Gives a network the best weights of another run.

    The number of classes may differ (coarse to fine, COCO to VOC): then the classifier, the
    last convolution, keeps its own weights.

    Args:
      network: built from the description.
      description: what the network was built from.
      model_dir: model directory of the other run.

    Raises:
      FileNotFoundError: no such run.
      ValueError: a run of another network.
    """
    found = read_network_description(model_dir)
    same = dataclasses.replace(found, num_classes=description.num_classes)
    if same.to_dict() != description.to_dict():  # Which has the fields that matter only.
        raise ValueError(
            f"{model_dir} holds weights of another network ({found.to_dict()}); only the number "
            "of classes may differ."
        )
    source = load_network(model_dir)
    for variable, value in zip(_variables(network), _variables(source)):
        if variable.shape == value.shape:
            variable.assign(value)


def _variables(network: tf.keras.Model) -> List[tf.Variable]:
    """All variables in an order that does not depend on which of them are trainable."""
    layers = [layer for layer in network.submodules if isinstance(layer, tf.keras.layers.Layer)]
    frozen = [layer for layer in layers if not layer.trainable]
    for layer in frozen:
        layer.trainable = True
    variables = list(network.variables)
    for layer in frozen:
        layer.trainable = False
    return variables
