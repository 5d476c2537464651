"""Trained networks that come with the package: model directories, `adl_tf/presets/NAME`."""

import os
from typing import Tuple

from adl_tf.model_directory import NETWORK_FILE

FOLDER = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "presets")


def preset_names() -> Tuple[str, ...]:
    """The names of the presets."""
    if not os.path.isdir(FOLDER):
        return ()
    names = sorted(os.listdir(FOLDER))
    return tuple(n for n in names if os.path.exists(os.path.join(FOLDER, n, NETWORK_FILE)))


def preset_dir(name: str) -> str:
    """The model directory of a preset.

    Raises:
      ValueError: no such preset.
    """
    if name not in preset_names():
        raise ValueError(
            f"preset {name!r} is unknown; there are: {', '.join(preset_names()) or 'none'}."
        )
    return os.path.join(FOLDER, name)


def find_model_dir(source: str) -> str:
    """A model directory, by its path or as the name of a preset; a directory goes first."""
    source = os.path.expanduser(source)
    if not os.path.isdir(source) and source in preset_names():
        return preset_dir(source)
    return source
