"""The checkpoint files of a directory: which are whole, and the newest of those.

What is there counts, not what TensorFlow's file `checkpoint` lists, which may be damaged too.
"""

import glob
import os
import re
import shutil
from typing import List, Optional

import tensorflow as tf

from adl_tf.configuration import say

_INDEX = ".index"


def list_checkpoints(directory: str, name: str = "ckpt") -> List[str]:
    """Paths, without extension, of all checkpoints NAME-NUMBER or NAME, the newest first.

    Those whose index is missing are among them.
    """
    pattern = re.compile(rf"({re.escape(name)}(?:-(\d+))?)\.(?:index|data-\d+-of-\d+)")
    found = {}
    for file in glob.glob(os.path.join(glob.escape(directory), f"{name}*")):
        match = pattern.fullmatch(os.path.basename(file))
        if match:
            found[match[1]] = int(match[2] or 0)
    return [os.path.join(directory, path) for path in sorted(found, key=lambda p: -found[p])]


def find_damage(path: str) -> str:
    """Why a checkpoint cannot be read, in a few words; empty if all of it can."""
    if not os.path.exists(path + _INDEX):
        return "its index is missing"
    try:
        reader = tf.train.load_checkpoint(path)
        for name in reader.get_variable_to_shape_map():
            reader.get_tensor(name)  # Compares checksums.
    except Exception as error:  # Of many types, IndexError among them.
        return (str(error).splitlines() or [type(error).__name__])[0]
    return ""


def newest_checkpoint(directory: str, name: str = "ckpt") -> Optional[str]:
    """Path, without extension, of the newest checkpoint that can be read; None if there is none.

    Damaged ones that are newer are named on stderr and left alone.

    Raises:
      ValueError: there are checkpoints, but all are damaged.
    """
    damaged = []
    for path in list_checkpoints(directory, name):
        damage = find_damage(path)
        if not damage:
            for other in damaged:
                say(f"{other}; {os.path.basename(path)} is used instead.")
            return path
        damaged.append(f"{path} is damaged ({damage})")
    if damaged:
        raise ValueError(
            f"{'; '.join(damaged)}; none is left: restore the files, or start again in another "
            "--model_dir."
        )
    return None


def remove_partial(directory: str, name: str = "ckpt") -> None:
    """Removes what killed processes left of checkpoints that they were writing."""
    for folder in glob.glob(os.path.join(glob.escape(directory), f"{name}-*_temp")):
        shutil.rmtree(folder)


def remove_checkpoint(path: str) -> None:
    """Removes the files of a checkpoint, the index first, without which it does not count."""
    for file in (path + _INDEX, *glob.glob(glob.escape(path) + ".data-*")):
        if os.path.exists(file):
            os.remove(file)
