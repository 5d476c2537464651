"""The layout of a folder: the pairs of images and masks, their splits, and what is left out."""

import collections
import fnmatch
import os
import posixpath
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from data_prep import naming
from data_prep.errors import BadExample, ConversionError
from data_prep.examples import Item
from data_prep.folders import LISTS, SUFFIXES, File, count, count_unread, select
from data_prep.images import IMAGE_SUFFIXES
from data_prep.pairing import choose, find_ways


class Layout(NamedTuple):
    """The images and masks found in a folder.

    Attributes:
      splits: the items of each split; "" where the folder does not say.
      unlabelled: the splits without masks.
      notes: what is used, what is left out and why, a line each.
      faults: images of which no mask was found.
    """

    splits: Dict[str, List[Item]]
    unlabelled: Tuple[str, ...]
    notes: Tuple[str, ...]
    faults: Tuple[BadExample, ...]


def explore(root: str, files: Sequence[File], images: str = "", masks: str = "") -> Layout:
    """Pairs images with their masks, and tells the splits.

    Args:
      root: the folder.
      files: as `list_files` returns them.
      images: pattern of the paths of images, as `*/photos/*`; empty to find them.
      masks: as well, of masks.

    Raises:
      ConversionError: no images, no masks, masks that fit no image, a split without pairs, or two
        ways to pair them that fit alike.
    """
    files = [_told(f, images, masks) for f in files]
    seen = [f for f in files if not f.place.drawn]
    ways = find_ways(root, select(seen, images, IMAGE_SUFFIXES), select(seen, masks, SUFFIXES))
    if not ways:
        raise ConversionError(_why_none(root, seen))
    chosen, rivals = choose(root, ways)
    pairs = {image: mask for way in chosen for image, mask in way.pairs.items()}
    lone_images, lone_masks = _left_over(seen, pairs, [way.rule for way in chosen])
    twins, elsewhere, test, lacking = _tell_apart(root, pairs, lone_images)
    items = _name_items(root, pairs, test)
    used = {*pairs, *pairs.values(), *lone_images, *lone_masks}
    others = [f for f in files if f not in used]
    notes = [
        *(f"{way}." for way in chosen),
        *(f"not used: {way}." for way in rivals),
        *count("test has no masks", test),
        *count("left out, since another image of the name is used", twins),
        *count("left out, images of folders without masks", elsewhere),
        *count("left out, masks without an image", lone_masks),
        *count("left out, in other folders", [f for f in others if f.suffix in IMAGE_SUFFIXES]),
        *count_unread(others),
    ]
    faults = [_without_mask(root, image, pairs) for image in lacking]
    splits, listed = _follow_lists(root, files, items)
    unlabelled = ("test",) if test and not listed else ()
    return Layout(splits, unlabelled, (*notes, *listed), tuple(faults))


def _told(file: File, images: str, masks: str) -> File:
    """A file whose role the patterns tell, where they fit."""
    roles = ((masks, naming.MASK), (images, naming.IMAGE))
    fitting = [r for pattern, r in roles if pattern and fnmatch.fnmatchcase(file.path, pattern)]
    return file._replace(place=file.place._replace(role=fitting[0])) if fitting else file


def _left_over(
    files: Sequence[File], pairs: Dict[File, File], rules: Sequence[naming.Rule]
) -> Tuple[List[File], List[File]]:
    """Images and masks that are in no pair, of the folders that the others are in."""
    used = {*pairs, *pairs.values()}
    image_groups, mask_groups = {f.group for f in pairs}, {f.group for f in pairs.values()}
    suffixes = {f.suffix for f in pairs.values()} - {f.suffix for f in pairs}
    affixes = {rule.mask for rule in rules} - {("", "")}
    images, masks = [], []
    for file in files:
        if file in used or file.suffix not in SUFFIXES:
            continue
        beside = file.group in image_groups and (
            file.suffix in suffixes or any(naming.key_of(file.stem, a) is not None for a in affixes)
        )
        if file.group in mask_groups and (file.group not in image_groups or beside):
            masks.append(file)
        elif file.group in image_groups and file.suffix in IMAGE_SUFFIXES:
            images.append(file)
    return images, masks


def _tell_apart(
    root: str, pairs: Dict[File, File], images: Sequence[File]
) -> Tuple[List[File], List[File], List[File], List[File]]:
    """Images without masks: of a name that is used, of folders without masks, of a test split
    without masks, and those whose mask is missing.

    Raises:
      ConversionError: all images of another split are without masks.
    """
    splits = {image.place.split or mask.place.split for image, mask in pairs.items()}
    folders = {posixpath.dirname(image.path) for image in pairs}
    names = {(image.place, image.stem) for image in pairs}
    twins, elsewhere, test, lacking = [], [], [], []
    for file in images:
        if (file.place, file.stem) in names:
            twins.append(file)
        elif file.place.split == "test" and "test" not in splits:
            test.append(file)
        elif posixpath.dirname(file.path) in folders:
            lacking.append(file)
        else:
            elsewhere.append(file)
    for file in elsewhere:
        if file.place.split and file.place.split not in splits:
            raise ConversionError(
                f"{os.path.join(root, posixpath.dirname(file.path))}: no mask fits an image there, "
                f"such as {posixpath.basename(file.path)}; add those of {file.place.split}, as "
                "the other splits have them, or remove the folder."
            )
    return twins, elsewhere, test, lacking


def _without_mask(root: str, image: File, pairs: Dict[File, File]) -> BadExample:
    """The fault of an image, with the name that its mask would have."""
    near = next((i for i in pairs if i.place == image.place), next(iter(pairs)))
    folder = posixpath.dirname(pairs[near].path)
    path = os.path.join(root, image.path)
    place = os.path.join(root, folder) if folder else root
    return BadExample(
        path,
        "no mask fits its name",
        f"add it to {place}, or remove the image",
    )


def _name_items(
    root: str, pairs: Dict[File, File], unlabelled: Sequence[File]
) -> Dict[str, List[Item]]:
    """The items of each split, by path."""
    labels: Dict[File, Optional[File]] = {**pairs, **dict.fromkeys(unlabelled)}
    members = collections.defaultdict(list)
    for image in sorted(labels):
        mask = labels[image]
        members[image.place.split or (mask.place.split if mask else "")].append(image)
    items = {}
    for split, images in sorted(members.items()):
        names = naming.unique_names([image.path for image in images])
        items[split] = [
            Item(
                name,
                os.path.join(root, image.path),
                os.path.join(root, labels[image].path) if labels[image] else None,
            )
            for name, image in zip(names, images)
        ]
    return items


def _follow_lists(
    root: str, files: Sequence[File], items: Dict[str, List[Item]]
) -> Tuple[Dict[str, List[Item]], List[str]]:
    """The splits of the lists of VOC's layout, if there are some, and notes about them.

    Raises:
      ConversionError: a list has images that are not there.
    """
    by_name = {
        os.path.splitext(os.path.basename(i.image))[0]: i for some in items.values() for i in some
    }
    splits = {}
    for file in files:
        if LISTS + posixpath.basename(file.path) not in file.path or file.suffix != ".txt":
            continue
        if file.stem not in ("train", "val", "test"):
            continue
        path = os.path.join(root, file.path)
        with open(path, encoding="utf-8-sig") as lines:
            names = [posixpath.basename(name) for name in lines.read().split()]
        missing = [name for name in names if name not in by_name]
        if missing:
            raise ConversionError(
                f"{path}: {missing[0]!r} and {len(missing) - 1} others have no image with a mask."
            )
        splits[file.stem] = [by_name[name] for name in names]
    if not splits:
        return items, []
    listed = sum(map(len, splits.values()))
    total = len(by_name)
    return splits, [f"left out, in no list of {LISTS}: {total - listed} images."] * (listed < total)


def _why_none(root: str, files: Sequence[File]) -> str:
    """Why nothing was paired: which folder lacks what."""
    images = [f for f in files if f.suffix in IMAGE_SUFFIXES and f.place.role != naming.MASK]
    masks = [f for f in files if f.suffix in SUFFIXES and f.place.role == naming.MASK]
    unread = "".join(f" ({line.rstrip('.')})" for line in count_unread(files))
    if not images:
        if masks:
            where = os.path.join(root, posixpath.dirname(masks[0].path))
            return (
                f"{root}: masks in {where}, but no images there{unread}; put them into "
                f"{root}/images."
            )
        return (
            f"{root}: no images there, nor in its folders{unread}; put them into {root}/images and "
            f"their masks into {root}/masks."
        )
    told = [f for f in images if f.place.role == naming.IMAGE] or images
    folder = posixpath.dirname(told[0].path)
    place = os.path.join(root, folder) if folder else root
    if not masks:
        above, name = os.path.split(os.path.abspath(root))
        parent = f" Give {above} if they are there." if naming.role_of(name) == naming.IMAGE else ""
        return (
            f"{os.path.join(root, _folder_of_masks(folder))}: no masks there, of {len(told)} "
            f"images in {place}; masks are named like their image, in folders called masks or "
            f"labels, or beside it with an ending such as _mask{unread}.{parent}"
        )
    first = masks[0].path
    return (
        f"{os.path.join(root, posixpath.dirname(first))}: no mask fits an image of {place}: the "
        f"first is called {posixpath.basename(first)}, the first image "
        f"{posixpath.basename(told[0].path)}; name masks like their image, all with the same "
        "before or after it, or nothing."
    )


def _folder_of_masks(folder: str) -> str:
    """Where the masks of a folder of images belong."""
    parts = folder.split("/")
    told = [i for i, part in enumerate(parts) if naming.role_of(part) == naming.IMAGE]
    if told:
        parts[told[-1]] = "masks"
        return "/".join(parts)
    return posixpath.join(folder, "masks")
