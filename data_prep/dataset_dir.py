"""Finding the directory of a data set."""

import os

from data_prep import convert_synthetic

SYNTHETIC = "synthetic"


def find_dataset(name: str) -> str:
    """The directory of a data set.

    Args:
      name: a directory of TFRecords, or "synthetic" for the toy streets, which are drawn on first
        use and kept in the user's cache directory.
    """
    if name != SYNTHETIC:
        return os.path.expanduser(name)
    cache = os.environ.get("XDG_CACHE_HOME", os.path.join(os.path.expanduser("~"), ".cache"))
    directory = os.path.join(cache, "adl_tf", SYNTHETIC)
    convert_synthetic.build(directory)
    return directory
