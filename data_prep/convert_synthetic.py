"""Toy streets, drawn: a data set to try everything on, made in seconds without a download."""

import functools
import os
from typing import Dict, Tuple

import numpy as np
from absl import flags

from adl_tf.data.description import DESCRIPTION_FILE
from data_prep import program
from data_prep.conversion import Conversion
from data_prep.errors import ConversionError
from data_prep.examples import Example, Item
from data_prep.images import encode_png
from data_prep.run import run_conversion
from data_prep.street import CLASSES, draw_street


def plan(
    *, num_train: int = 64, num_val: int = 16, height: int = 128, width: int = 256, seed: int = 0
) -> Conversion:
    """A street for every index; train and val share none.

    Raises:
      ConversionError: a size or count too small.
    """
    if min(height, width) < 32 or min(num_train, num_val) < 1:
        raise ConversionError(
            f"{num_train} + {num_val} images of {height}x{width}: draw at least one of each "
            "split, 32x32 or larger."
        )

    def items(split, count):
        return [Item(f"street_{split}_{index:05d}", image=(split, index)) for index in range(count)]

    return Conversion(
        name="synthetic",
        class_names=tuple(CLASSES),
        colors=tuple(CLASSES.values()),
        source=f"drawn by this package, seed {seed}",
        splits={"train": items("train", num_train), "val": items("val", num_val)},
        convert=functools.partial(convert, size=(height, width), seed=seed),
    )


def build(output_dir, **options) -> Dict[str, object]:
    """Draws the data set unless it exists; resumes an incomplete one.

    Args:
      output_dir: of the TFRecords.
      **options: of `plan`.

    Returns:
      see `run_conversion`; an empty dict if it existed.

    Raises:
      ConversionError: see `run_conversion`.
    """
    output_dir = os.fspath(output_dir)
    if os.path.exists(os.path.join(output_dir, DESCRIPTION_FILE)):
        return {}
    return run_conversion(plan(**options), output_dir, num_shards=2)


def convert(item: Item, *, size: Tuple[int, int], seed: int) -> Example:
    """Draws one street."""
    split, index = item.image
    image, label = draw_street(
        np.random.default_rng([seed, ("train", "val").index(split), index]), *size
    )
    return Example(encode_png(image), "png", size, label)


if __name__ == "__main__":
    flags.DEFINE_integer("num_train", 64, "Streets in train.")
    flags.DEFINE_integer("num_val", 16, "Streets in val.")
    flags.DEFINE_integer("height", 128, "Height of the images in pixels.")
    flags.DEFINE_integer("width", 256, "Width of the images in pixels.")
    flags.DEFINE_integer("seed", 0, "Random seed.")
    program.main(plan, ("num_train", "num_val", "height", "width", "seed"), input_dir=False)
