"""Pictures of what a conversion understood: masks over their images, with the classes' names."""

import os
from typing import List

import numpy as np
from PIL import Image

from adl_tf.data.description import DatasetDescription
from adl_tf.files import make_directory, replacing
from adl_tf.visualization.predictions import add_legend, colorize, overlay
from data_prep.conversion import Conversion
from data_prep.errors import BadExample
from data_prep.images import decode_image

FOLDER = "preview"


def write_preview(conversion: Conversion, output_dir: str, count: int) -> List[str]:
    """Writes pictures of examples from all over the splits; returns their paths.

    Args:
      conversion: whose examples.
      output_dir: gets the folder `preview`.
      count: how many, at most.

    Raises:
      OSError: they cannot be written.
    """
    description = DatasetDescription(
        conversion.name, tuple(conversion.class_names), tuple(map(tuple, conversion.colors)), {}
    )
    items = [
        (split, item)
        for split, members in conversion.splits.items()
        if split not in conversion.unlabelled
        for item in members
    ]
    folder = os.path.join(output_dir, FOLDER)
    make_directory(folder)
    paths = []
    for index in np.unique(np.linspace(0, len(items) - 1, min(count, len(items))).astype(int)):
        split, item = items[index]
        try:
            example = conversion.convert(item)
            image = decode_image(example.image)
            painted = overlay(image, colorize(example.label, description.colors))
        except (BadExample, ValueError):
            continue  # The conversion itself says what is wrong with it.
        picture = Image.fromarray(add_legend(painted, example.label, description))
        paths.append(os.path.join(folder, f"{split}_{item.name.replace(os.sep, '_')}.png"))
        with replacing(paths[-1]) as temporary:
            picture.save(temporary, format="PNG", compress_level=3)
    return paths
