"""Listing images and their label maps in the folders of an archive."""

import os
from typing import List, Tuple

from data_prep.errors import ConversionError
from data_prep.examples import Item


def list_pairs(images: str, labels: str, suffixes: Tuple[str, ...]) -> List[Item]:
    """Lists the images of a folder, each with the PNG of the same name in another folder.

    Whether the label maps are there is not checked.

    Args:
      images: folder of the images.
      labels: folder of the label maps.
      suffixes: suffixes of the images, in lower case; other files are left out.

    Returns:
      items sorted by file name, named like the files without their suffixes.

    Raises:
      ConversionError: no folder of images, or no image in it.
    """
    if not os.path.isdir(images):
        raise ConversionError(f"{images}: no such directory; is the archive unpacked there?")
    files = sorted(file for file in os.listdir(images) if file.lower().endswith(suffixes))
    if not files:
        raise ConversionError(f"{images}: no {' or '.join(suffixes)} files there.")
    items = []
    for file in files:
        name = os.path.splitext(file)[0]
        items.append(Item(name, os.path.join(images, file), os.path.join(labels, name + ".png")))
    return items
