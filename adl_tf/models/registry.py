"""Networks by description: which one a model directory holds, how to build and load it."""

import dataclasses
import os
from typing import Any, Dict, List, Optional

import tensorflow as tf

from adl_tf.model_directory import (
    CHECKPOINTS,
    NETWORK_FILE,
    read_versioned,
    weights_path,
    write_versioned,
)
from adl_tf.models.auto_deeplab import DecodedNetwork
from adl_tf.models.baselines import RESNET_BLOCKS, DeepLabV3Plus
from adl_tf.space.genotype import Genotype

DECODED = "decoded"
BASELINES = {f"deeplab_v3_plus_resnet{depth}": depth for depth in RESNET_BLOCKS}


@dataclasses.dataclass(frozen=True)
class NetworkDescription:
    """What a network is built from.

    Attributes:
      network: "decoded", or a baseline of `BASELINES`.
      num_classes: number of classes.
      genotype: of a decoded network.
      filter_multiplier: F of a decoded network.
      width: factor of the filters of a baseline's backbone.

    Raises:
      ValueError: an unknown network, or a decoded one without genotype.
    """

    network: str
    num_classes: int
    genotype: Optional[Genotype] = None
    filter_multiplier: int = 20
    width: float = 1.0

    def __post_init__(self):
        if self.network not in (DECODED, *BASELINES):
            raise ValueError(
                f"network {self.network!r} is unknown; choose from {[DECODED, *BASELINES]}."
            )
        if isinstance(self.genotype, dict):
            object.__setattr__(self, "genotype", Genotype(**self.genotype))
        if self.network == DECODED and self.genotype is None:
            raise ValueError(
                "a decoded network needs a genotype: give --genotype=FILE, or the preset "
                "auto_deeplab."
            )

    def to_dict(self) -> Dict[str, Any]:
        """The fields that matter for this network, as `network.json` holds them."""
        fields: Dict[str, Any] = {"network": self.network, "num_classes": self.num_classes}
        if self.network == DECODED:
            fields["genotype"] = self.genotype.to_dict()
            fields["filter_multiplier"] = self.filter_multiplier
        else:
            fields["width"] = self.width
        return fields


def build_network(description: NetworkDescription) -> tf.keras.Model:
    """Builds a network with new weights.

    Returns:
      A model from float32 images [B, H, W, 3] in [-1, 1], of any size, to float32 logits
      [B, H, W, num_classes], with the attribute `num_classes`.
    """
    if description.network == DECODED:
        return DecodedNetwork(
            description.genotype, description.filter_multiplier, description.num_classes
        )
    return DeepLabV3Plus(BASELINES[description.network], description.num_classes, description.width)


def initialize_from(
    network: tf.keras.Model, description: NetworkDescription, model_dir: str
) -> None:
    """Gives a network the best weights of another run.

    The number of classes may differ (coarse to fine, COCO to VOC): then the classifier, the
    last convolution, keeps its own weights.

    Args:
      network: of the description.
      description: what the network was built from.
      model_dir: of the other run.

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


def write_network_description(description: NetworkDescription, model_dir: str) -> None:
    """Writes `network.json`."""
    write_versioned(description.to_dict(), os.path.join(model_dir, NETWORK_FILE))


def read_network_description(model_dir: str) -> NetworkDescription:
    """Reads `network.json`.

    Raises:
      FileNotFoundError: not the directory of a trained network.
      ValueError: the file is damaged, or of another version.
    """
    path = os.path.join(model_dir, NETWORK_FILE)
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"{model_dir}: no {NETWORK_FILE} there, so it holds no trained network; train one "
            "with python -m adl_tf.train."
        )
    content = read_versioned(path)
    try:
        return NetworkDescription(**content)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: not a network description ({error}).") from error


def save_weights(network: tf.keras.Model, model_dir: str, name: str) -> None:
    """Writes the network's weights as checkpoint "best" or "last"."""
    tf.train.Checkpoint(network=network).write(weights_path(model_dir, name))


def load_network(model_dir: str, checkpoint: str = "best") -> tf.keras.Model:
    """Builds the network of a model directory with trained weights.

    Args:
      model_dir: of a training run.
      checkpoint: "best" or "last", or the path of a checkpoint without its extension.

    Returns:
      see `build_network`.

    Raises:
      FileNotFoundError: no network or no such checkpoint.
      ValueError: the checkpoint is of another network.
    """
    description = read_network_description(model_dir)
    path = checkpoint
    if checkpoint in CHECKPOINTS:
        path = weights_path(model_dir, checkpoint)
    if not os.path.exists(f"{path}.index"):
        raise FileNotFoundError(
            f"{path}: no such checkpoint; a training run writes {' and '.join(CHECKPOINTS)} "
            "when it scores the validation images."
        )
    network = build_network(description)
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
