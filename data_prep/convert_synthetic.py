"""Toy scenes, drawn: data sets to try everything on, made in seconds without a download."""

import functools
import os
from typing import Dict, Optional, Tuple

import numpy as np
from absl import flags

from adl_tf.data.description import DESCRIPTION_FILE
from data_prep import program
from data_prep.conversion import Conversion
from data_prep.errors import ConversionError
from data_prep.examples import Example, Item
from data_prep.images import encode_png
from data_prep.run import run_conversion
from data_prep.scenes import SCENES


def plan(
    *,
    scene: str = "street",
    num_train: int = 64,
    num_val: int = 16,
    height: Optional[int] = None,
    width: Optional[int] = None,
    seed: int = 0,
) -> Conversion:
    """A drawing for every index; train and val share none.

    Args:
      scene: which kind of images, a key of `scenes.SCENES`.
      num_train: images of train.
      num_val: images of val.
      height: in pixels; None for the scene's own.
      width: in pixels; None for the scene's own.
      seed: decides everything that is drawn.

    Raises:
      ConversionError: an unknown scene, a size or count too small.
    """
    if scene not in SCENES:
        raise ConversionError(f"scene {scene!r} is unknown; choose from {', '.join(SCENES)}.")
    classes, (own_height, own_width), _ = SCENES[scene]
    height = own_height if height is None else height
    width = own_width if width is None else width
    if min(height, width) < 32 or min(num_train, num_val) < 1:
        raise ConversionError(
            f"{num_train} + {num_val} images of {height}x{width}: draw at least one of each "
            "split, 32x32 or larger."
        )

    def items(split, count):
        return [
            Item(f"{scene}_{split}_{index:05d}", image=(split, index)) for index in range(count)
        ]

    return Conversion(
        name="synthetic",
        class_names=tuple(classes),
        colors=tuple(classes.values()),
        source=f"{scene}, drawn by this package, seed {seed}",
        splits={"train": items("train", num_train), "val": items("val", num_val)},
        convert=functools.partial(convert, scene=scene, size=(height, width), seed=seed),
    )


def build(output_dir, **options) -> Dict[str, object]:
    """Draws the data set unless it exists; resumes an incomplete one.

    Args:
      output_dir: directory of the TFRecords.
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


def convert(item: Item, *, scene: str, size: Tuple[int, int], seed: int) -> Example:
    """Draws one image."""
    split, index = item.image
    rng = np.random.default_rng([seed, ("train", "val").index(split), index])
    image, label = SCENES[scene].draw(rng, *size)
    return Example(encode_png(image), "png", size, label)


if __name__ == "__main__":
    flags.DEFINE_enum("scene", "street", list(SCENES), "What is drawn.")
    flags.DEFINE_integer("num_train", 64, "Images in train.")
    flags.DEFINE_integer("num_val", 16, "Images in val.")
    flags.DEFINE_integer("height", None, "Height of the images; the scene's own if unset.")
    flags.DEFINE_integer("width", None, "Width of the images; the scene's own if unset.")
    flags.DEFINE_integer("seed", 0, "Random seed.")
    options = ("scene", "num_train", "num_val", "height", "width", "seed")
    program.main(plan, options, input_dir=False)
