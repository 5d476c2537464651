"""Folders as people have them: where images, masks and class names are."""

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
    if folder.images != "." and subfolders:
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
            with open(os.path.join(lists, file), encoding="utf-8") as lines:
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
    stems = {}
    for file in sorted(os.listdir(masks)):
        stem, suffix = os.path.splitext(file)
        if suffix.lower() in _MASK_SUFFIXES:
            stems.setdefault(stem, os.path.join(masks, file))
    items, found = [], 0
    for file in sorted(os.listdir(images)):
        name, suffix = os.path.splitext(file)
        if suffix.lower() not in IMAGE_SUFFIXES:
            continue
        mask = _find_mask(name, os.path.join(images, file), stems)
        if masks == images and mask is None and _is_mask(name, stems):
            continue  # The mask of another image beside it.
        found += mask is not None
        default = os.path.join(masks, name + ".png")
        items.append(Item(name, os.path.join(images, file), mask or default))
    if items and not found:
        example = next(iter(sorted(stems.values())), None)
        named = f"the first is called {os.path.basename(example)}" if example else "there are none"
        raise ConversionError(
            f"{masks}: no mask fits an image of {images}: {named}; masks are named like their "
            f"image, with {', '.join(MASK_ENDINGS[1:])} after it or nothing."
        )
    return items


def _find_mask(name: str, image: str, stems: Dict[str, str]) -> Optional[str]:
    for ending in MASK_ENDINGS:
        path = stems.get(name + ending)
        if path is not None and path != image:
            return path
    return None


def _is_mask(name: str, stems: Dict[str, str]) -> bool:
    """Whether an image beside others is the mask of one."""
    return any(ending and name.endswith(ending) and name[: -len(ending)] for ending in MASK_ENDINGS)


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
