"""Names of folders and files: the split, images or masks, and the parts that belong together.

Nothing here reads a file.
"""

import collections
import difflib
import functools
import posixpath
import random
import re
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

IMAGE, MASK = "image", "mask"
_SPLITS = {
    "train": ("train", "training", "trn"),
    "val": ("val", "valid", "validation"),
    "test": ("test", "testing", "tst"),
}
_ROLES = {
    IMAGE: ("images?", "imgs?", "photos?", "pictures?", "frames?", "rgb", "inputs?", "originals?"),
    MASK: (
        "masks?",
        "labels?",
        "labelmaps?",
        "annotations?",
        "annots?",
        "annos?",
        "segmentations?",
        "segs?",
        "gts?",
        "truths?",
        "groundtruths?",
        "manual",
        "targets?",
    ),
}
# Pictures that tools draw beside the masks.
_DRAWN = {"visualization", "viz", "overlay", "overlays", "preview", "previews"}
_INSTANCES = "segmentationobject"
_SPLIT_OF = {word: split for split, words in _SPLITS.items() for word in words}
_WORD = re.compile(
    f"({'|'.join(sorted(_SPLIT_OF, key=len, reverse=True))})?"
    f"(?:({'|'.join(_ROLES[IMAGE])})|({'|'.join(_ROLES[MASK])}))?"
)
_SAMPLE = 50  # Images whose names are compared with those of the masks,
_NEAREST = 30  # each with so many of them that have a rare part in common.
_RULES = 16  # That are tried.


class Place(NamedTuple):
    """The parts of the path of a file that name its split and its kind.

    Attributes:
      split: "train", "val", "test", or "" where they do not say.
      variant: what the split's folder says besides, as `extra` of `train_extra`.
      role: IMAGE, MASK or "".
      group: name of the folder that tells the role, without the split.
      rest: the other folders.
      drawn: whether a tool drew this for people to look at.
    """

    split: str = ""
    variant: str = ""
    role: str = ""
    group: str = ""
    rest: Tuple[str, ...] = ()
    drawn: bool = False


@functools.cache
def read_place(folders: Tuple[str, ...]) -> Place:
    """Reads the names of the folders of a file, outermost first.

    Example:
      >>> read_place(("train_images", "site1"))[:5]
      ('train', '', 'image', 'images', ('site1',))
    """
    split = variant = role = group = ""
    rest: List[str] = []
    drawn = False
    for folder in reversed(folders):
        own_split, own_role, others = _read_words(folder)
        drawn |= bool(_DRAWN & set(others)) or "".join(others) == _INSTANCES
        if own_role and not role:
            role, group = own_role, "_".join(others)
        elif not own_split:
            rest.insert(0, folder)
        elif not split and not own_role:
            variant = "_".join(word for word in others if not word.isdigit())
        split = split or own_split
    return Place(split, variant, role, group, tuple(rest), drawn)


def split_of(name: str) -> str:
    """The split that a name tells: "train", "val", "test" or "" for none or several."""
    found = {_read_word(word)[0] for word in _words(name)} - {""}
    return found.pop() if len(found) == 1 else ""


def role_of(name: str) -> str:
    """Whether a name speaks of an IMAGE, a MASK or neither ("")."""
    return _read_words(name)[1]


def _words(name: str) -> List[str]:
    return [w.lower() for w in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


def _read_word(word: str) -> Tuple[str, str, str]:
    """(split, role, the word without the split), each of them "" where there is none."""
    match = _WORD.fullmatch(word)
    if not match:
        return "", "", word
    split, image, mask = (part or "" for part in match.groups())
    return _SPLIT_OF.get(split, ""), MASK if mask else IMAGE if image else "", image + mask


def _read_words(folder: str) -> Tuple[str, str, List[str]]:
    """(split, role, the words without the split)."""
    split, roles, others = "", set(), []
    for word in _words(folder):
        own_split, own_role, other = _read_word(word)
        split = split or own_split
        roles.add(own_role)
        others += [other] if other else []
    return split, MASK if MASK in roles else IMAGE if IMAGE in roles else "", others


def unique_names(paths: Sequence[str]) -> List[str]:
    """Names of files without suffixes; where several are alike, their folders and suffixes as well.

    Example:
      >>> unique_names(["a.f.jpg", "b/c.jpg", "d/c.jpg", "e.jpg", "e.png"])
      ['a.f', 'b_c', 'd_c', 'e_jpg', 'e_png']
    """
    names = [posixpath.splitext(posixpath.basename(path))[0] for path in paths]
    for longer in (
        lambda path: posixpath.splitext(path)[0],
        lambda path: "_".join(path.rsplit(".", 1)),
    ):
        counts = collections.Counter(names)
        names = [
            longer(path).replace("/", "_") if counts[name] > 1 else name
            for name, path in zip(names, paths)
        ]
    return names


class Rule(NamedTuple):
    """Rule from the name of an image to that of its mask, both without suffix.

    Attributes:
      image: (prefix, suffix) around what both have in common.
      mask: as well.
    """

    image: Tuple[str, str] = ("", "")
    mask: Tuple[str, str] = ("", "")

    @property
    def is_plain(self) -> bool:
        """Whether it is what people commonly do: the image's name, or with a word for a mask."""
        return not any((*self.image, *self.mask)) or role_of("_".join(self.mask)) == MASK


def key_of(stem: str, affixes: Tuple[str, str]) -> Optional[str]:
    """The part of a name between a prefix and a suffix; None if it lacks one of them."""
    start, end = affixes
    if len(stem) < len(start) + len(end) or not stem.startswith(start) or not stem.endswith(end):
        return None
    return stem[len(start) : len(stem) - len(end)]


def find_rules(images: Sequence[str], masks: Sequence[str]) -> List[Rule]:
    """Rules that may lead from the names of images to those of masks, the likeliest first.

    Args:
      images: names without suffixes.
      masks: as well.
    """
    images, masks = sorted(set(images)), sorted(set(masks))
    by_token: Dict[str, List[int]] = collections.defaultdict(list)
    for index, mask in enumerate(masks):
        for token in set(_tokens(mask)):
            by_token[token].append(index)
    votes: Dict[Rule, int] = collections.Counter()
    # Any regular choice might meet masks only, where they lie beside their images.
    for image in random.Random(0).sample(images, min(len(images), _SAMPLE)):
        shared: Dict[int, float] = collections.Counter()  # Rare parts count more.
        for token in sorted(set(_tokens(image)) & set(by_token)):
            some = by_token[token]
            shared.update(dict.fromkeys(some[:_NEAREST], 1 / len(some)))
        near = sorted(shared, key=lambda i: (-shared[i], i))[:_NEAREST]
        votes.update({_derive(image, masks[i]) for i in near} - {None})
    if not votes and len(images) == len(masks) == 1:
        return [Rule((images[0], ""), (masks[0], ""))]  # Only one way is left.
    ranked = sorted(votes, key=lambda rule: (-votes[rule], not rule.is_plain, rule))
    return list(dict.fromkeys((Rule(), *ranked[:_RULES])))


def _derive(image: str, mask: str) -> Optional[Rule]:
    """The rule that leads from one name to another; None where they differ in a number."""
    ours, theirs = _tokens(image), _tokens(mask)
    matcher = difflib.SequenceMatcher(None, ours, theirs, autojunk=False)
    blocks = matcher.get_matching_blocks()
    best = max(blocks, key=lambda b: sum(map(len, ours[b.a : b.a + b.size])))
    if not best.size:
        return None
    rule = Rule(
        ("".join(ours[: best.a]), "".join(ours[best.a + best.size :])),
        ("".join(theirs[: best.b]), "".join(theirs[best.b + best.size :])),
    )
    if any(_has_digit(a) and _has_digit(b) for a, b in zip(rule.image, rule.mask)):
        return None
    return rule


def _tokens(stem: str) -> List[str]:
    return re.findall(r"[^\W\d_]+|\d+|.", stem)


def _has_digit(text: str) -> bool:
    return any(character.isdigit() for character in text)
