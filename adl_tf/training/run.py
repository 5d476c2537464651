"""What the programs that train have in common around `fit`."""

import os
from typing import Any, Dict, Optional, Tuple

import gin
import tensorflow as tf

from adl_tf.configuration import say  # noqa: F401
from adl_tf.data.dataset_dir import find_dataset  # noqa: F401
from adl_tf.data.description import IGNORE_LABEL
from adl_tf.data.failures import one_line_failures  # noqa: F401
from adl_tf.data.reader import RecordReader
from adl_tf.data.streams import evaluation_stream, train_stream
from adl_tf.files import write_text
from adl_tf.models.trained_on import write_run  # noqa: F401

CONFIG_FILE = "operative_config.gin"

# The module of the reader knows nothing of gin.
configured_stream = gin.external_configurable(train_stream)


def crop_sides(crop_size: Any) -> Tuple[int, int]:
    """One side of a square, or (height, width), as (height, width).

    Raises:
      ValueError: neither, or not in whole pixels.
    """
    sides = [crop_size] * 2 if isinstance(crop_size, int) else crop_size
    if (
        not isinstance(sides, (list, tuple))
        or len(sides) != 2
        or not all(isinstance(side, int) and side > 0 for side in sides)
    ):
        raise ValueError(
            f"{crop_size!r} is no size of a crop: give one side or (height, width) in whole "
            "pixels, such as 321."
        )
    return tuple(sides)


def require_positive(**numbers: Optional[int]) -> None:
    """Checks numbers that count something; None stands for a default and is left alone.

    Raises:
      ValueError: one is not a whole number above 0; it is called by its keyword.
    """
    for name, number in numbers.items():
        if number is not None and (not isinstance(number, int) or number < 1):
            raise ValueError(f"{name} = {number!r}: it must be a whole number, 1 or more.")


def check_devices(
    strategy: tf.distribute.Strategy, batch_size: int, parts: int = 1, jit_compile: bool = False
) -> None:
    """Makes sure that the devices can share the batches of a run.

    Args:
      strategy: over the devices.
      batch_size: images per step, over all devices.
      parts: of a device's share, computed one after the other.
      jit_compile: whether the steps are compiled with XLA.

    Raises:
      ValueError: the shares or parts would differ in size, which would weigh images unequally;
        or XLA under a distribution, whose exchange between devices it cannot compile.
    """
    replicas = strategy.num_replicas_in_sync
    if batch_size % (replicas * parts):
        raise ValueError(
            f"a batch of {batch_size} cannot be shared equally ({replicas} devices, {parts} "
            f"accumulation_steps): make BATCH_SIZE a multiple of {replicas * parts}."
        )
    if jit_compile and isinstance(strategy, tf.distribute.MirroredStrategy):
        raise ValueError(
            "jit_compile cannot be combined with a distribution over devices: turn it off, or "
            "leave strategy.devices out and make one GPU visible (CUDA_VISIBLE_DEVICES=0)."
        )


def schedule(
    reader: RecordReader, seed: int, batch_size: int, steps_per_epoch: int
) -> Dict[str, int]:
    """What a resumed run must not change: its place in the data, and the halves of a search,
    would mean other images."""
    return {
        "seed": seed,
        "examples": reader.num_examples,
        "batch_size": batch_size,
        "steps_per_epoch": steps_per_epoch,
    }


def validation_stream(
    reader: RecordReader, limit: Optional[int] = None, replicas: int = 1
) -> tf.data.Dataset:
    """Whole images, one for each replica, padded to one size where the largest is known.

    Args:
      reader: the split.
      limit: number of images, rounded up to full batches; None for all.
      replicas: B; a batch with fewer images is filled up with ignored ones, since kernels
        do not bear a replica without any.

    Returns:
      data set of image float32 [B, H, W, 3] and label int32 [B, H, W], see
      `evaluation_stream`.
    """
    size = reader.largest_size
    batch_size = replicas if size else 1
    stream = evaluation_stream(reader, batch_size=batch_size, size=size)

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
    return stream.take(-(-limit // batch_size)) if limit else stream


def write_config(model_dir: str) -> None:
    """Writes the gin configuration that is in force: of all that was called so far."""
    write_text(gin.operative_config_str(), os.path.join(model_dir, CONFIG_FILE))
