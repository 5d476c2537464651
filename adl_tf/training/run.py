"""What the programs that train have in common around `fit`."""

import contextlib
import json
import os
import sys
from typing import Any, Dict, Optional, Tuple

import gin
import tensorflow as tf

from adl_tf.data.description import IGNORE_LABEL, DatasetDescription, write_json
from adl_tf.data.reader import RecordReader, evaluation_stream, train_stream
from data_prep import convert_synthetic

SYNTHETIC = "synthetic"
CONFIG_FILE = "operative_config.gin"
RUN_FILE = "run.json"
CLASSES_FILE = "classes.json"

# The module of the reader knows nothing of gin.
configured_stream = gin.external_configurable(train_stream)


def say(text: str) -> None:
    """Prints a line for the user, on stderr."""
    print(text, file=sys.stderr, flush=True)


def find_dataset(name: str) -> str:
    """The directory of a data set; the one named "synthetic" is made the first time."""
    if name != SYNTHETIC:
        return os.path.expanduser(name)
    cache = os.environ.get("XDG_CACHE_HOME", os.path.join(os.path.expanduser("~"), ".cache"))
    directory = os.path.join(cache, "adl_tf", SYNTHETIC)
    convert_synthetic.build(directory)
    return directory


def crop_sides(crop_size: Any) -> Tuple[int, int]:
    """One side of a square, or (height, width), as (height, width)."""
    return (crop_size, crop_size) if isinstance(crop_size, int) else tuple(crop_size)


def validation_stream(
    reader: RecordReader, limit: Optional[int] = None, replicas: int = 1
) -> tf.data.Dataset:
    """Whole images, one for each replica, padded to one size where the set knows its largest.

    Args:
      reader: the split.
      limit: number of images, rounded up to full batches; None for all.
      replicas: B; a batch with fewer images is filled up with ignored ones, since kernels
        do not bear a replica without any.

    Returns:
      data set of image float32 [B, H, W, 3] and label int32 [B, H, W], see
      `evaluation_stream`.
    """
    size = reader.description.splits[reader.split].max_size
    stream = evaluation_stream(reader, batch_size=replicas if size else 1, size=size)

    def fill(batch):
        # Without the file names, which no accelerator takes.
        image, label = batch["image"], batch["label"]
        missing = [[0, replicas - tf.shape(label)[0]], [0, 0], [0, 0]]
        return {
            "image": tf.ensure_shape(
                tf.pad(image, [*missing, [0, 0]]), [replicas, *image.shape[1:]]
            ),
            "label": tf.ensure_shape(
                tf.pad(label, missing, constant_values=IGNORE_LABEL), [replicas, *label.shape[1:]]
            ),
        }

    stream = stream.map(fill)
    return stream.take(-(-limit // replicas)) if limit else stream


def write_config(model_dir: str) -> None:
    """Writes the gin configuration that is in force."""
    with open(os.path.join(model_dir, CONFIG_FILE), "w") as file:
        file.write(gin.operative_config_str())


def write_run(model_dir: str, dataset_dir: str, description: DatasetDescription) -> None:
    """Writes which data set a network is trained on, and its classes, for later programs."""
    write_json({"dataset_dir": os.path.abspath(dataset_dir)}, os.path.join(model_dir, RUN_FILE))
    write_json(
        {"class_names": description.class_names, "colors": description.colors},
        os.path.join(model_dir, CLASSES_FILE),
    )


def read_run(model_dir: str) -> Dict[str, Any]:
    """What `write_run` wrote: `dataset_dir`; empty if there is nothing."""
    path = os.path.join(model_dir, RUN_FILE)
    if not os.path.exists(path):
        return {}
    with open(path, encoding="utf-8") as file:
        return json.load(file)


@contextlib.contextmanager
def one_line_failures(*readers: RecordReader):
    """Turns the failure of a stream into the one line that its reader has for it."""
    try:
        yield
    except tf.errors.OpError:
        for reader in readers:
            if reader.failure:
                raise ValueError(reader.failure) from None
        raise
