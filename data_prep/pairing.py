"""Which mask belongs to which image: the one way in which their names map one to one."""

import collections
import fnmatch
import os
import posixpath
from typing import Callable, Dict, Iterable, List, NamedTuple, Sequence, Tuple

from PIL import Image

from data_prep import naming
from data_prep.errors import ConversionError
from data_prep.folders import POLYGONS, File
from data_prep.images import IMAGE_SUFFIXES

_LOSSY = (".jpg", ".jpeg", ".jpe", ".jfif", ".webp")
_DRAWINGS = (".png", ".gif")
# What of their places pairs must share: everything, or what is left of it where one folder says
# less than the other.
_LEVELS: Tuple[Callable[[naming.Place], object], ...] = (
    lambda place: (place.split, place.rest),
    lambda place: place.rest,
    lambda place: place.split,
    lambda place: None,
)
_FOLDERS = 6  # Of unknown names; more are not tried against each other.


class Way(NamedTuple):
    """A way to pair files.

    Attributes:
      rule: relation between their names.
      pairs: that it makes, by image.
      level: the place in `_LEVELS` that pairs its first.
    """

    rule: naming.Rule
    pairs: Dict[File, File]
    level: int

    def __str__(self):
        image, mask = next(iter(self.pairs.items()))
        return f"{len(self.pairs)} pairs as {image.path} with {mask.path}"


def find_ways(root: str, images: Sequence[File], masks: Sequence[File]) -> List[Way]:
    """Ways to pair files, by what their folders are called, or else by themselves."""
    told_images, told_masks = _of_role(images, naming.IMAGE), _of_role(masks, naming.MASK)
    plain_images, plain_masks = _of_role(images, ""), _of_role(masks, "")
    attempts: List[Iterable[Tuple[List[File], List[File]]]] = [
        [(i, m) for i in _grouped(told_images) for m in _grouped(told_masks)],
        [(told_images + plain_images, m) for m in _grouped(told_masks)],
        [(i, plain_masks) for i in _grouped(told_images)],
        [(i, _of_role(masks, naming.IMAGE)) for i in _grouped(told_images)],
        [(plain_images, plain_masks)],
    ]
    tops = sorted({f.place.rest[:1] for f in plain_images})
    if 1 < len(tops) <= _FOLDERS:
        parts = [[f for f in plain_masks if f.place.rest[:1] == top] for top in tops]
        attempts.append([(i, m) for i in parts for m in parts if i is not m])
    for attempt in attempts:
        ways = [way for some, others in attempt for way in _ways(root, some, others)]
        if ways:
            return ways
    return []


def _of_role(files: Sequence[File], role: str) -> List[File]:
    return [f for f in files if f.place.role == role]


def _grouped(files: Sequence[File]) -> List[List[File]]:
    groups = collections.defaultdict(list)
    for file in files:
        groups[file.group].append(file)
    return list(groups.values())


def _ways(root: str, images: Sequence[File], masks: Sequence[File]) -> List[Way]:
    """Ways to pair some images with some masks, each of one rule and one suffix of both."""
    images = [f for f in images if f.suffix in IMAGE_SUFFIXES]
    if not images or not masks:
        return []
    told = masks[0].place.role != images[0].place.role
    ways = []
    for rule in naming.find_rules([f.stem for f in images], [f.stem for f in masks]):
        found = []
        for image_suffix in sorted({f.suffix for f in images}):
            for mask_suffix in sorted({f.suffix for f in masks}):
                way = _match(images, image_suffix, masks, mask_suffix, rule)
                if way.pairs and (told or _is_forward(root, rule, way.pairs)):
                    found.append(way)
        # Names that are alike by chance pair few.
        count, least = sum(len(way.pairs) for way in found), min(len(images), len(masks))
        if rule.is_plain or count >= max(min(2, least), least / (2 if told else 4)):
            ways += found
    return ways


def _keyed(files: Sequence[File], suffix: str, affixes: Tuple[str, str]) -> List[Tuple[File, str]]:
    keyed = ((f, naming.key_of(f.stem, affixes)) for f in files if f.suffix == suffix)
    return [(file, key) for file, key in keyed if key is not None]


def _match(
    images: Sequence[File], image_suffix: str, masks: Sequence[File], mask_suffix: str, rule
) -> Way:
    """Pairs files of these suffixes where a rule finds one of each, level by level."""
    sides = (_keyed(images, image_suffix, rule.image), _keyed(masks, mask_suffix, rule.mask))
    pairs: Dict[File, File] = {}
    taken, first = set(), len(_LEVELS)
    for level, project in enumerate(_LEVELS):
        by_key = collections.defaultdict(lambda: ([], []))
        for side, keyed in enumerate(sides):
            for file, key in keyed:
                if file not in (taken if side else pairs):
                    by_key[project(file.place), key][side].append(file)
        found = {
            ours[0]: theirs[0]
            for ours, theirs in by_key.values()
            if len(ours) == len(theirs) == 1 and _may_belong(ours[0], theirs[0], not pairs)
        }
        first = min(first, level) if found else first
        pairs.update(found)
        taken.update(found.values())
        if len(pairs) == min(map(len, sides)):
            break
    return Way(rule, pairs, first)


def _may_belong(image: File, mask: File, first: bool) -> bool:
    splits, rests = (
        ({f.place.split, ""} for f in (image, mask)),
        (image.place.rest, mask.place.rest),
    )
    ours, theirs = splits
    return (
        image.path != mask.path
        and len(ours | theirs) <= 2
        and (rests[0] == rests[1] or not all(rests) or first)
    )


def _is_forward(root: str, rule: naming.Rule, pairs: Dict[File, File]) -> bool:
    """Whether the masks of pairs that lie in one folder are not the images."""
    image, mask = next(iter(pairs.items()))
    if mask.suffix == POLYGONS:
        return True
    ours, theirs = (naming.role_of("_".join(affixes)) for affixes in rule)
    if ours or theirs:
        return ours != naming.MASK and theirs != naming.IMAGE
    if any(rule.image) != any(rule.mask):
        return any(rule.mask)
    photo, drawing = image.suffix in _LOSSY, mask.suffix in _LOSSY
    if photo != drawing:
        return photo
    if (image.suffix in _DRAWINGS) != (mask.suffix in _DRAWINGS):
        return mask.suffix in _DRAWINGS
    return _count_colors(root, image) > _count_colors(root, mask)


def _count_colors(root: str, file: File) -> int:
    try:
        with Image.open(os.path.join(root, file.path)) as image:
            return len(image.getcolors(maxcolors=1 << 24) or ())
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return 0


def choose(root: str, ways: Sequence[Way]) -> Tuple[List[Way], List[Way]]:
    """The way that pairs most with those that add to it, and those that it rules out.

    Raises:
      ConversionError: another one pairs as many.
    """
    ways = sorted(ways, key=_rank)
    chosen, rivals = [], []
    held: Dict[File, File] = {}
    for way in ways:
        masks = set(held.values())
        free = {i: m for i, m in way.pairs.items() if i not in held and m not in masks}
        mostly = 2 * len(free) > len(way.pairs)
        if mostly and (not chosen or way.rule.is_plain or way.rule == chosen[0].rule):
            chosen.append(way._replace(pairs=free))
            held.update(free)
        elif not mostly and any(held.get(image) != mask for image, mask in way.pairs.items()):
            rivals.append(way)
    alike = [way for way in rivals if _rank(way)[:3] == _rank(chosen[0])[:3]]
    if alike:
        same = [way for way in alike if set(way.pairs) == set(chosen[0].pairs)]
        raise ConversionError(_ask(root, chosen[0], (same or alike)[0]))
    return chosen, rivals


def _rank(way: Way) -> Tuple[object, ...]:
    """Orders ways: most pairs first, then those that share more of their places, then what people
    commonly do and what changes less of a name."""
    replaced = any(map(all, zip(*way.rule)))
    return -len(way.pairs), way.level, (not way.rule.is_plain) + replaced, way.rule


def _ask(root: str, one: Way, other: Way) -> str:
    sides = [[list(way.pairs), list(way.pairs.values())] for way in (one, other)]
    side = 1 if set(sides[0][1]) != set(sides[1][1]) else 0
    flag = ("--images", "--masks")[side]
    ours, theirs = sides[0][side], sides[1][side]
    choices = " or ".join(
        f"{flag}='{_pattern(some, others)}'" for some, others in ((ours, theirs), (theirs, ours))
    )
    return f"{root}: two ways to pair fit alike: {one}, and {other}; choose with {choices}."


def _pattern(files: Sequence[File], others: Sequence[File]) -> str:
    """A pattern of these files and none of the others."""
    stems = [f.stem for f in files]
    ending = os.path.commonprefix([stem[::-1] for stem in stems])[::-1] + files[0].suffix
    start = os.path.commonprefix(stems)
    folder = posixpath.dirname(files[0].path)
    patterns = [
        f"*{posixpath.basename(folder)}/*" if folder else "*",
        f"{folder}/*",
        f"*{ending.lstrip('0123456789')}",
        f"*{files[0].suffix}",
        f"*/{start}*",
        f"{start}*",
    ]
    for pattern in patterns:
        if all(fnmatch.fnmatchcase(f.path, pattern) for f in files) and not any(
            fnmatch.fnmatchcase(f.path, pattern) for f in others if f not in files
        ):
            return pattern
    return files[0].path
