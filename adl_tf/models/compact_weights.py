"""A network's weights as one small file: float16 where that will do, compressed."""

import zipfile
from typing import Sequence

import numpy as np
import tensorflow as tf

from adl_tf.system.files import replacing


def write_compact(variables: Sequence[tf.Variable], path: str) -> None:
    """Writes variables, in their order, as float16, or float32 where that cannot hold a value."""
    arrays = {}
    for index, variable in enumerate(variables):
        value = variable.numpy()
        with np.errstate(over="ignore"):
            half = value.astype(np.float16)
        arrays[f"{index:04d}"] = half if np.isfinite(half).all() else value
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **arrays)


def read_compact(variables: Sequence[tf.Variable], path: str) -> None:
    """Gives variables, in the same order, what `write_compact` wrote.

    Raises:
      ValueError: a damaged file, or one of another network.
    """
    try:
        with np.load(path) as file:
            arrays = [file[name] for name in sorted(file.files)]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: damaged ({error}); restore it.") from error
    shapes = [tuple(variable.shape) for variable in variables]
    if [array.shape for array in arrays] != shapes:
        raise ValueError(f"{path}: weights of another network than the one beside it.")
    for variable, array in zip(variables, arrays):
        variable.assign(array.astype(np.float32))
