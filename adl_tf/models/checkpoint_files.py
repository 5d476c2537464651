"""The checkpoint files of a directory: which are whole, and the newest of those.

What is there counts, not what TensorFlow's file `checkpoint` lists, which may be damaged too.
"""

import glob
import os
import re
import shutil
from typing import Dict, List, Optional, Tuple

import tensorflow as tf

from adl_tf.system.files import writing
from adl_tf.system.progress import say

_INDEX = ".index"
_TEMPORARY = "_temp"


def list_checkpoints(directory: str, name: str = "ckpt") -> List[str]:
    """Paths, without extension, of all checkpoints NAME-NUMBER or NAME, the newest first.

    Those whose index is missing are among them.
    """
    pattern = re.compile(rf"({re.escape(name)}(?:-(\d+))?)\.(?:index|data-\d+-of-\d+)")
    found: Dict[str, int] = {}
    for file in glob.glob(os.path.join(glob.escape(directory), f"{name}*")):
        match = pattern.fullmatch(os.path.basename(file))
        if match:
            found[match[1]] = int(match[2] or 0)
    return [os.path.join(directory, path) for path in sorted(found, key=lambda p: -found[p])]


def checkpoint_number(path: str) -> int:
    """The number in a checkpoint's name; 0 without one."""
    match = re.search(r"-(\d+)$", path)
    return int(match[1]) if match else 0


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


def split_by_damage(directory: str, name: str = "ckpt") -> Tuple[List[str], Dict[str, str]]:
    """The newest checkpoint that can be read, or none, as a list; and the damaged ones that are
    newer, with what is wrong with them."""
    damaged = {}
    for path in list_checkpoints(directory, name):
        damage = find_damage(path)
        if not damage:
            return [path], damaged
        damaged[path] = damage
    return [], damaged


def newest_checkpoint(directory: str, name: str = "ckpt") -> Optional[str]:
    """Path, without extension, of the newest checkpoint that can be read; None if there is none.

    Damaged ones that are newer are named on stderr and left alone.

    Raises:
      ValueError: there are checkpoints, but all are damaged.
    """
    newest, damaged = split_by_damage(directory, name)
    texts = [f"{path} is damaged ({damage})" for path, damage in damaged.items()]
    if newest:
        for text in texts:
            say(f"{text}; {os.path.basename(newest[0])} is used instead.")
        return newest[0]
    if damaged:
        raise ValueError(
            f"{'; '.join(texts)}; none is left: restore the files, or start again in another "
            "--model_dir."
        )
    return None


def write_checkpoint(checkpoint: tf.train.Checkpoint, path: str) -> None:
    """Writes a checkpoint so that a kill leaves all of it or nothing that counts.

    Its index, without which it is none, is moved into place last; see `finish_writing`.

    Raises:
      NoRoomError: no room on the device.
    """
    directory, name = os.path.split(path)
    folder = path + _TEMPORARY
    shutil.rmtree(folder, ignore_errors=True)
    with writing(path):
        os.makedirs(folder)
        checkpoint.write(os.path.join(folder, name))
        for file in sorted(os.listdir(folder), key=lambda file: file.endswith(_INDEX)):
            os.replace(os.path.join(folder, file), os.path.join(directory, file))
        os.rmdir(folder)


def finish_writing(directory: str, name: str = "ckpt") -> None:
    """Finishes or removes what a killed process was writing."""
    for folder in glob.glob(os.path.join(glob.escape(directory), f"{name}-*{_TEMPORARY}")):
        index = os.path.basename(folder)[: -len(_TEMPORARY)] + _INDEX
        if os.listdir(folder) == [index]:  # All the rest is in its place already.
            os.replace(os.path.join(folder, index), os.path.join(directory, index))
        shutil.rmtree(folder)


def remove_checkpoint(path: str) -> None:
    """Removes the files of a checkpoint, the index first, without which it does not count."""
    for file in (path + _INDEX, *glob.glob(glob.escape(path) + ".data-*")):
        if os.path.exists(file):
            os.remove(file)
