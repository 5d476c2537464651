"""The data of a training: `run.json`, `classes.json`, and the data of `schedule.json`."""

import dataclasses
import os
from typing import Any, Dict, Optional, Tuple

from adl_tf.data.description import DatasetDescription, Size
from adl_tf.data.identity import DataIdentity, parse_identity
from adl_tf.model_directory import (
    CLASSES_FILE,
    DATA,
    RUN_FILE,
    SCHEDULE_FILE,
    read_object,
    read_versioned,
)
from adl_tf.models.classes import Classes
from adl_tf.system.files import write_json


def write_run(model_dir: str, dataset_dir: str, description: DatasetDescription) -> None:
    """Writes which data set a network is trained on, and its classes, for later programs."""
    write_json({"dataset_dir": os.path.abspath(dataset_dir)}, os.path.join(model_dir, RUN_FILE))
    classes = Classes(description.class_names, description.colors, _image_sizes(description))
    write_json(dataclasses.asdict(classes), os.path.join(model_dir, CLASSES_FILE))


def _image_sizes(description: DatasetDescription) -> Optional[Tuple[Size, Size]]:
    """The smallest and the largest (height, width) over all splits; None where one is unknown."""
    splits = description.splits.values()
    if not splits or any(None in (split.min_size, split.max_size) for split in splits):
        return None
    smallest, largest = ([s.min_size for s in splits], [s.max_size for s in splits])
    return tuple(map(min, zip(*smallest))), tuple(map(max, zip(*largest)))


def read_run(model_dir: str) -> Dict[str, Any]:
    """The fields that `write_run` wrote: `dataset_dir`; empty if there is no file.

    Raises:
      ValueError: the file is damaged.
    """
    path = os.path.join(model_dir, RUN_FILE)
    run = read_object(path) if os.path.exists(path) else {}
    if not isinstance(run.get("dataset_dir", ""), str):
        raise ValueError(f"{path}: dataset_dir is {run['dataset_dir']!r}, which is no path.")
    return run


def kept_data(model_dir: str) -> Optional[DataIdentity]:
    """The identity of the data that a run began with; None if it did not keep it.

    Raises:
      ValueError: the file is damaged.
    """
    path = os.path.join(model_dir, SCHEDULE_FILE)
    content = read_versioned(path).get(DATA) if os.path.exists(path) else None
    if content is None:
        return None
    try:
        return parse_identity(content)
    except ValueError as error:
        raise ValueError(
            f"{path}: {DATA!r} is {error}. The file is damaged: restore it, or start again in "
            "another directory."
        ) from error
