"""Which converter reads a folder, told by the names in it, and the flags of all of them."""

import importlib
import inspect
import os
from typing import Any, Dict, List, Mapping, Sequence, Tuple

from absl import flags

from data_prep.errors import ConversionError
from data_prep.program import SHARED, define_shared_flags

# The archives of known data sets, and what each leaves in a folder.
_KNOWN: Tuple[Tuple[str, Tuple[str, ...]], ...] = (
    ("cityscapes", ("leftImg8bit", "gtFine")),
    ("voc2012", (os.path.join("VOCdevkit", "VOC2012", "ImageSets", "Segmentation"),)),
    ("ade20k", ("ADEChallengeData2016",)),
    ("coco", (os.path.join("annotations", "instances_train2017.json"),)),
    ("camvid", ("train", "trainannot", "val", "valannot")),
)
FOLDER = "folder"
_WITH_FLAGS = (FOLDER, "camvid")


def recognize(input_dir: str) -> str:
    """The NAME of the converter, as in `python -m data_prep.convert_NAME`; "folder" for any folder
    that is no known archive."""
    for name, parts in _KNOWN:
        if all(os.path.exists(os.path.join(input_dir, part)) for part in parts):
            return name
    return FOLDER


def define_converter_flags() -> Tuple[str, ...]:
    """Defines the flags of all converters, for a program that runs the one which fits; returns
    their names."""
    define_shared_flags()
    own = [_import(name).define_flags() for name in _WITH_FLAGS]
    return (*SHARED, *dict.fromkeys(name for names in own for name in names))


def given_flags(names: Sequence[str]) -> Dict[str, Any]:
    """Values of those of the flags that are on the command line."""
    return {name: flags.FLAGS[name].value for name in names if flags.FLAGS[name].present}


def plan_options(converter: str, options: Mapping[str, Any]) -> Dict[str, Any]:
    """Those of some options that the converter's `plan` takes.

    Args:
      converter: NAME of `recognize`.
      options: by the names of flags.

    Raises:
      ConversionError: one that this converter does not have.
    """
    own = set(inspect.signature(_import(converter).plan).parameters) - {"input_dir"}
    for name in options:
        if name not in (*own, *SHARED):
            raise ConversionError(
                f"--{name}: the folder is read by convert_{converter}, whose flags are "
                f"{', '.join(f'--{known}' for known in (*sorted(own), *SHARED))}."
            )
    return {name: value for name, value in options.items() if name in own}


def as_arguments(options: Mapping[str, Any]) -> List[str]:
    """Options as a command line has them."""

    def text(value):
        return ",".join(map(str, value)) if isinstance(value, (list, tuple)) else value

    return [f"--{name}={text(value)}" for name, value in options.items()]


def _import(name: str):
    return importlib.import_module(f"data_prep.convert_{name}")
