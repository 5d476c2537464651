"""The image files that a program is given, found without TensorFlow."""

import os
import sys
from typing import Dict, Sequence

# As a scale: that of the training's images.
TRAINING = "training"


def check_paths(paths: Sequence[str]) -> None:
    """Raises FileNotFoundError for a file or folder that is not there."""
    for path in paths:
        if not os.path.exists(os.path.expanduser(path)):
            raise FileNotFoundError(f"{path}: no such image or folder.")


def find_images(paths: Sequence[str], output_dir: str) -> Dict[str, str]:
    """Files as they are, folders as the images in them and in folders of them.

    Folders of masks, by their names, are left out; what is left out is said on stderr.

    Args:
      paths: paths of files and folders.
      output_dir: directory of the results, whose images are not segmented.

    Returns:
      paths of images by the names of their results: their own, and where several are alike, those
      of their folders and suffixes as well.

    Raises:
      FileNotFoundError: no such file or folder.
      ValueError: no images.
    """
    # Here, since a program checks paths before it imports what takes long.
    from data_prep.folders import count, count_unread, list_files
    from data_prep.images import IMAGE_SUFFIXES
    from data_prep.naming import MASK, unique_names

    check_paths(paths)
    images: Dict[str, None] = {}  # In their order, each once.
    results = os.path.realpath(output_dir)
    for path in map(os.path.expanduser, paths):
        if os.path.isdir(path):
            files = [
                file
                for file in list_files(path)
                if not os.path.realpath(os.path.join(path, file.path)).startswith(results + os.sep)
            ]
            masks = [f for f in files if f.place.role == MASK or f.place.drawn]
            chosen = [f for f in files if f not in masks and f.suffix in IMAGE_SUFFIXES]
            for line in (*count("left out, in folders of masks", masks), *count_unread(files)):
                print(f"{path}: {line}", file=sys.stderr)
            images.update((os.path.join(path, file.path), None) for file in chosen)
        else:
            images[path] = None
    if not images:
        raise ValueError(
            f"no images in {', '.join(paths) or 'the command'}: name files, or folders with "
            f"{', '.join(IMAGE_SUFFIXES)} files."
        )
    whole = [os.path.abspath(path) for path in images]
    shared = os.path.commonpath([os.path.dirname(path) for path in whole])
    names = unique_names([os.path.relpath(path, shared).replace(os.sep, "/") for path in whole])
    return dict(zip(names, images))
