"""Names and colors of the classes of a trained network: `classes.json` of a model directory."""

import dataclasses
import os
from typing import Optional, Tuple

import pydantic

from adl_tf.data.description import Color, Size, default_colors
from adl_tf.model_directory import CLASSES_FILE
from adl_tf.system.files import reason_of


@dataclasses.dataclass(frozen=True)
class Classes:
    """Names and colors of the labels.

    Attributes:
      class_names: one per class, in the order of the labels.
      colors: (red, green, blue) in 0..255 per class.
      image_sizes: the smallest and the largest (height, width) of the images that the network was
        trained on, each over all images; None where that is not known.
    """

    class_names: Tuple[str, ...]
    colors: Tuple[Color, ...]
    image_sizes: Optional[Tuple[Size, Size]] = None


_classes = pydantic.TypeAdapter(Classes)


def trained_class_names(model_dir: str) -> Tuple[str, ...]:
    """Names of the classes that a network was trained with; none where they are not known.

    Raises:
      ValueError: `classes.json` is damaged.
    """
    path = os.path.join(model_dir, CLASSES_FILE)
    return _read(path).class_names if os.path.exists(path) else ()


def read_classes(model_dir: str, num_classes: int) -> Classes:
    """Reads the classes of a model directory; numbered ones where it has none.

    Raises:
      ValueError: `classes.json` is damaged, or of another number of classes.
    """
    path = os.path.join(model_dir, CLASSES_FILE)
    if not os.path.exists(path):
        names = tuple(f"class {label}" for label in range(num_classes))
        return Classes(names, default_colors(num_classes))
    classes = _read(path)
    if not len(classes.class_names) == len(classes.colors) == num_classes:
        raise ValueError(
            f"{path}: {len(classes.class_names)} names and {len(classes.colors)} colors, but the "
            f"network has {num_classes} classes; give one of each per class."
        )
    return classes


def _read(path: str) -> Classes:
    try:
        with open(path, encoding="utf-8") as file:
            return _classes.validate_json(file.read(), strict=True)
    except ValueError as error:
        raise ValueError(
            f"{path}: not a list of classes ({reason_of(error)}); it must hold class_names and "
            "colors."
        ) from error
