"""Folders as people have them: where images, masks and class names are."""

import collections
import os
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from data_prep.errors import ConversionError
from data_prep.examples import Item
from data_prep.images import IMAGE_SUFFIXES

IMAGE_FOLDERS = ("images", "image", "imgs", "JPEGImages")
MASK_FOLDERS = (
    "masks",
    "mask",
    "labels",
    "annotations",
    "SegmentationClassPNG",
    "SegmentationClass",
)
CLASS_FILES = ("classes.txt", "class_names.txt", "labels.txt")
# Of masks that are not named like their image.
MASK_ENDINGS = ("", "_mask", "_label", "_labels", "_seg", "_gt", "-mask")
_MASK_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".gif", ".json")
_LISTS = os.path.join("ImageSets", "Segmentation")


class Folder(NamedTuple):
    """What was found in a folder.

    Attributes:
      images: folder of the images, relative.
      masks: folder of the masks or of polygons in JSON; may be the same.
      classes: file of the class names; None if there is none.
    """

    images: str
    masks: str
    classes: Optional[str]


def explore(root: str) -> Folder:
    """Finds images, masks and class names.

    Raises:
      ConversionError: no images, or nothing that could be their masks.
    """
    if not os.path.isdir(root):
        raise ConversionError(f"{root}: no such directory.")
    images = _first(root, IMAGE_FOLDERS, IMAGE_SUFFIXES)
    if images is None:
        if not _holds(root, IMAGE_SUFFIXES):
            raise ConversionError(
                f"{root}: no images there, nor in a folder {' or '.join(IMAGE_FOLDERS)}."
            )
        images = "."
    masks = _first(root, MASK_FOLDERS, _MASK_SUFFIXES) or images
    classes = next((f for f in CLASS_FILES if os.path.exists(os.path.join(root, f))), None)
    return Folder(images, masks, classes)


def list_splits(root: str, folder: Folder) -> Dict[str, List[Item]]:
    """The items of each split; a single split "" where the folder does not say.

    Splits are the subfolders of the images, or the lists of ImageSets/Segmentation.

    Raises:
      ConversionError: a split without images, or masks that fit no image.
    """
    images = os.path.join(root, folder.images)
    subfolders = sorted(e.name for e in os.scandir(images) if e.is_dir())
    subfolders = [name for name in subfolders if _holds(os.path.join(images, name), IMAGE_SUFFIXES)]
    if folder.images != "." and subfolders and not _holds(images, IMAGE_SUFFIXES):
        return {split: _list_pairs(root, folder, split) for split in subfolders}
    items = _list_pairs(root, folder, "")
    lists = os.path.join(root, _LISTS)
    if not os.path.isdir(lists):
        return {"": items}
    by_name = {item.name: item for item in items}
    splits = {}
    for file in sorted(os.listdir(lists)):
        split, suffix = os.path.splitext(file)
        if suffix == ".txt" and split in ("train", "val", "test"):
            with open(os.path.join(lists, file), encoding="utf-8-sig") as lines:
                names = lines.read().split()
            missing = [name for name in names if name not in by_name]
            if missing:
                raise ConversionError(
                    f"{os.path.join(lists, file)}: {missing[0]!r} and {len(missing) - 1} others "
                    f"have no image in {images}."
                )
            splits[split] = [by_name[name] for name in names]
    return splits or {"": items}


def _list_pairs(root: str, folder: Folder, split: str) -> List[Item]:
    """Images with what is likely to be their mask; a mask that is missing is named later."""
    images = os.path.join(root, folder.images, split)
    masks = os.path.join(root, folder.masks, split)
    if not os.path.isdir(masks):
        raise ConversionError(f"{masks}: no such directory; the masks of {images} belong there.")
    stems = collections.defaultdict(list)
    for file in sorted(os.listdir(masks)):
        stem, suffix = os.path.splitext(file)
        if suffix.lower() in _MASK_SUFFIXES:
            stems[stem].append(os.path.join(masks, file))
    files = [os.path.join(images, f) for f in sorted(os.listdir(images)) if is_image(f)]
    # Beside a photo, a PNG of its name is its mask.
    chosen = {}
    for file in sorted(files, key=lambda file: file.lower().endswith(".png")):
        if file not in chosen.values():
            chosen[file] = _find_mask(file, stems)
    taken = set(chosen.values())
    items, found = [], 0
    for file in files:
        name = os.path.splitext(os.path.basename(file))[0]
        if file in taken:
            continue  # The mask of another image beside it.
        found += chosen[file] is not None
        default = os.path.join(masks, name + ".png")
        items.append(Item(name, file, chosen[file] or default))
    if items and not found:
        example = min((path for paths in stems.values() for path in paths), default=None)
        named = f"the first is called {os.path.basename(example)}" if example else "there are none"
        raise ConversionError(
            f"{masks}: no mask fits an image of {images}: {named}; masks are named like their "
            f"image, with {', '.join(MASK_ENDINGS[1:])} after it or nothing."
        )
    return items


def is_image(file: str) -> bool:
    """Whether a file is an image, by its name."""
    return file.lower().endswith(IMAGE_SUFFIXES)


def _find_mask(image: str, stems: Dict[str, List[str]]) -> Optional[str]:
    name = os.path.splitext(os.path.basename(image))[0]
    for ending in MASK_ENDINGS:
        for path in stems.get(name + ending, ()):
            if path != image:
                return path
    return None


def _first(root: str, names: Sequence[str], suffixes: Tuple[str, ...]) -> Optional[str]:
    """The first of these folders that holds such files, itself or in its subfolders."""
    for name in names:
        path = os.path.join(root, name)
        if os.path.isdir(path) and (
            _holds(path, suffixes)
            or any(e.is_dir() and _holds(e.path, suffixes) for e in os.scandir(path))
        ):
            return name
    return None


def _holds(path: str, suffixes: Tuple[str, ...]) -> bool:
    return os.path.isdir(path) and any(f.lower().endswith(suffixes) for f in os.listdir(path))
