"""Networks by description: their names, what builds them, what `network.json` holds."""

import dataclasses
import importlib
import inspect
import operator
import os
from typing import Any, Callable, Dict, Optional, Union

import pydantic
import tensorflow as tf
from typing_extensions import Required, TypedDict

from adl_tf.gin_files import NO_IMPORTS
from adl_tf.model_directory import (
    NETWORK_FILE,
    find_network_file,
    read_versioned,
    write_versioned,
)
from adl_tf.models.auto_deeplab import DecodedNetwork
from adl_tf.models.baselines import DeepLabV3Plus
from adl_tf.models.network_names import DECODED
from adl_tf.space.genotype import Genotype, load_genotype
from adl_tf.space.network_sizes import PAPER_SIZES, NetworkSizes
from adl_tf.system.files import reason_of
from adl_tf.system.settings import Count, Positive

# A class or function that makes a network of the fields of a `NetworkDescription` that it has
# arguments for: num_classes, and if it likes genotype, filter_multiplier, width and sizes.
Builder = Callable[..., tf.keras.Model]

_SMALL_HEAD = {"head_filters": 64, "low_level_filters": 24}
NETWORKS: Dict[str, Builder] = {
    DECODED: DecodedNetwork,
    "deeplab_v3_plus_resnet101": lambda num_classes, width: DeepLabV3Plus(
        "resnet101", num_classes, width
    ),
    "deeplab_v3_plus_resnet50": lambda num_classes, width: DeepLabV3Plus(
        "resnet50", num_classes, width
    ),
    # Small ones have small heads.
    "deeplab_v3_plus_resnet26": lambda num_classes, width: DeepLabV3Plus(
        "resnet26", num_classes, width, **_SMALL_HEAD
    ),
    "deeplab_v3_plus_mobilenet_v3_small": lambda num_classes, width: DeepLabV3Plus(
        "mobilenet_v3_small", num_classes, width, **_SMALL_HEAD
    ),
}


def find_builder(name: str) -> Builder:
    """The builder of a network: of `NETWORKS` by its name, or imported as "module:name".

    Raises:
      ValueError: no such network, or it cannot be imported.
    """
    if name in NETWORKS:
        return NETWORKS[name]
    module, separator, path = name.partition(":")
    if not separator:
        raise ValueError(
            f"network {name!r} is unknown; choose from {list(NETWORKS)}, or give your own class "
            "or function as 'module:name'."
        )
    if NO_IMPORTS in os.environ:
        raise ValueError(f"network {name!r} is not allowed with --nogin_imports.")
    try:
        return operator.attrgetter(path)(importlib.import_module(module))
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"network {name!r} cannot be imported ({error}): start in the directory of its "
            "module, or add that to PYTHONPATH."
        ) from error


def _name_of(builder: Builder) -> str:
    """The name by which `find_builder` finds a builder again, in another process too."""
    module, path = (getattr(builder, key, None) for key in ("__module__", "__qualname__"))
    if not module or not path or "<" in path:
        raise ValueError(
            f"network {builder!r} cannot be imported again by name: give a class or function "
            "that stands in a module, outside of other functions."
        )
    return f"{module}:{path}"


def _parameters(builder: Builder):
    # Of the constructor itself: the signature of a Keras model would be that of its __new__.
    return inspect.signature(builder.__init__ if inspect.isclass(builder) else builder).parameters


@dataclasses.dataclass(frozen=True)
class NetworkDescription:
    """The parameters that a network is built from.

    Attributes:
      network: name in `NETWORKS`; or a class or function of your own, see `Builder`, which is
        kept as "module:name".
      num_classes: number of classes.
      genotype: what `load_genotype` takes; None where the network has no use for it.
      filter_multiplier: F of a decoded network.
      width: factor of the filters of a baseline's backbone.
      sizes: filters of stem, ASPP and decoder of a decoded network: `NetworkSizes`, or its fields.

    Raises:
      ValueError: an unknown network, one that cannot be imported, or one without the genotype
        that it needs.
    """

    network: Union[str, Builder]
    num_classes: int
    genotype: Optional[Genotype] = None
    filter_multiplier: int = 20
    width: float = 1.0
    sizes: NetworkSizes = PAPER_SIZES

    def __post_init__(self):
        if not isinstance(self.network, str):
            object.__setattr__(self, "network", _name_of(self.network))
        if not isinstance(self.sizes, NetworkSizes):
            object.__setattr__(self, "sizes", NetworkSizes(**self.sizes))
        parameters = _parameters(find_builder(self.network))
        if "genotype" not in parameters:
            object.__setattr__(self, "genotype", None)
        elif self.genotype is not None:
            object.__setattr__(self, "genotype", load_genotype(self.genotype))
        elif parameters["genotype"].default is inspect.Parameter.empty:
            raise ValueError(
                f"a {self.network} network needs a genotype: give --genotype=FILE, or the preset "
                "auto_deeplab."
            )

    def arguments(self) -> Dict[str, Any]:
        """The fields that the network's builder takes, by name."""
        parameters = _parameters(find_builder(self.network))
        optional = ("genotype", "filter_multiplier", "width", "sizes")
        taken = {name: getattr(self, name) for name in optional if name in parameters}
        return {"num_classes": self.num_classes, **taken}

    def to_dict(self) -> Dict[str, Any]:
        """The fields that matter for this network, as `network.json` holds them."""
        fields = {"network": self.network, **self.arguments()}
        for name in ("genotype", "sizes"):
            if fields.get(name):
                fields[name] = fields[name].to_dict()
        return fields


def build_network(description: NetworkDescription) -> tf.keras.Model:
    """Builds a network with new weights.

    Returns:
      A model from float32 images [B, H, W, 3] in [-1, 1], of any size, to float32 logits
      [B, H, W, num_classes], with the attribute `num_classes`.
    """
    network = find_builder(description.network)(**description.arguments())
    if not network.built:
        network.build((None, None, None, 3))
    if not hasattr(network, "num_classes"):
        network.num_classes = description.num_classes
    return network


def write_network_description(description: NetworkDescription, model_dir: str) -> None:
    """Writes `network.json`."""
    write_versioned(description.to_dict(), os.path.join(model_dir, NETWORK_FILE))


class _Fields(TypedDict, total=False):
    """The types of what `network.json` holds."""

    __pydantic_config__ = pydantic.ConfigDict(extra="forbid")
    network: Required[str]
    num_classes: Required[Count]
    genotype: Optional[Dict[str, Any]]
    filter_multiplier: Count
    width: Positive
    sizes: Dict[str, Any]


_fields = pydantic.TypeAdapter(_Fields)


def read_network_description(model_dir: str) -> NetworkDescription:
    """Reads `network.json`.

    Raises:
      FileNotFoundError: not the directory of a trained network.
      ValueError: the file is damaged, of another version, or names a network that cannot be
        imported.
    """
    path = find_network_file(model_dir)
    content = read_versioned(path)
    try:
        return NetworkDescription(**_fields.validate_python(content, strict=True))
    except ValueError as error:
        raise ValueError(f"{path}: {reason_of(error)}") from error
    except TypeError as error:
        raise ValueError(f"{path}: not a network description ({error}).") from error
