"""Label maps as files that the benchmarks' own evaluators and servers accept."""

import os

import numpy as np
from PIL import Image

from adl_tf.data.description import DatasetDescription
from adl_tf.system.files import make_directory, replacing
from data_prep.images import IMAGE_SUFFIXES


class PredictionWriter:
    """Writes one palette PNG per image: the pixel is the class's official id.

    Files are named after the record, which the converters name after the image:
    `2007_000033.png`, `aachen_000000_000019.png`, `ADE_val_00000001.png`. The palette holds the
    data set's colors.

    Args:
      directory: directory of the files; created if missing.
      description: description of the data set.

    Raises:
      ValueError: there is a file of that name.
    """

    def __init__(self, directory: str, description: DatasetDescription):
        make_directory(directory)
        ids = description.official_ids or range(description.num_classes)
        self._directory = directory
        self._ids = np.array(ids, np.uint8)
        palette = np.zeros([256, 3], np.uint8)
        palette[self._ids] = description.colors
        self._palette = palette.ravel().tolist()
        self._written = set()

    def write(self, name: str, prediction: np.ndarray) -> str:
        """Writes one label map.

        Args:
          name: name of the image; its suffix and folders are dropped.
          prediction: integers [H, W], class ids.

        Returns:
          path of the file.

        Raises:
          ValueError: no name, or a name that was written already.
        """
        stem, suffix = os.path.splitext(os.path.basename(name))
        stem = stem if suffix.lower() in IMAGE_SUFFIXES else stem + suffix
        if not stem or stem in self._written:
            raise ValueError(
                f"image {name!r}: {'its name is taken' if stem else 'it has no name'}, so its "
                "label map cannot be named after it; convert the data set with unique names."
            )
        self._written.add(stem)
        image = Image.fromarray(self._ids[np.asarray(prediction)])
        image.putpalette(self._palette)
        path = os.path.join(self._directory, stem + ".png")
        with replacing(path) as temporary:
            # The default level takes twice as long and saves little.
            image.save(temporary, format="PNG", compress_level=3)
        return path
