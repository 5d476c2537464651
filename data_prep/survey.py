"""A survey of a folder's masks before the conversion: ids, colors, labels."""

import os
from typing import NamedTuple, Sequence, Set, Tuple

from adl_tf.data.description import IGNORE_LABEL, Color
from adl_tf.system.files import read_json, write_text
from data_prep import mask_pixels
from data_prep.conversion import Conversion
from data_prep.errors import BadExample

PROPOSAL_FILE = "classes_proposed.txt"
BINARY = (0, 255)
_MOST_MASKS = 1000  # That are looked at, from all over the folder.
_NOT_CLASSES = ("__ignore__", "_background_", "background")
_BORDER = (224, 224, 192)  # VOC's color of what is ignored.


class Survey(NamedTuple):
    """The values that masks hold.

    Attributes:
      ids: ids of gray images, and of palettes of other colors.
      colors: (red, green, blue) of images in color.
      labels: labels of polygons.
    """

    ids: Set[int]
    colors: Set[Color]
    labels: Set[str]


def survey(paths: Sequence[str]) -> Survey:
    """Looks into masks, into 1000 from all over the list where there are more; damaged ones are
    passed over, since the conversion names them.

    Args:
      paths: paths of images or of JSON files by labelme.
    """
    found = Survey(set(), set(), set())
    for path in paths[:: max(1, -(-len(paths) // _MOST_MASKS))]:
        try:
            if path.endswith(".json"):
                found.labels.update(str(s["label"]) for s in read_json(path)["shapes"])
            else:
                _look(path, found)
        except (BadExample, OSError, ValueError, KeyError, TypeError):
            continue
    return found


def _look(path: str, found: Survey) -> None:
    mask = mask_pixels.read(path)
    if mask.kind == mask_pixels.COLOR and (mask.brightness == mask_pixels.NONE).any():
        found.colors.update(map(tuple, mask.shown.tolist()))
    elif mask.kind == mask_pixels.GRAY or (mask.brightness == mask_pixels.NONE).any():
        found.ids.update(mask.stored.tolist())
    else:
        found.ids.update(mask.brightness.tolist())


def are_binary(conversion: Conversion) -> bool:
    """Whether a data set has two classes without colors, and masks of nothing but 0 and 255."""
    reading = conversion.options.get("reading")
    if len(conversion.class_names) != 2 or reading is None or reading.given == "colors":
        return False
    found = survey(_masks(conversion.splits))
    return found.ids == set(BINARY) and not found.colors and not found.labels


def propose_classes(
    root: str, splits, names: Sequence[str] = (), colors: Sequence[Color] = ()
) -> str:
    """Writes classes for what the masks hold into a file to edit, if they hold more than is named.

    Args:
      root: the folder, which gets the file.
      splits: the items of each split.
      names: names of the classes that are known, the first ones.
      colors: (red, green, blue) of each.

    Returns:
      a sentence about it; "" if the known classes are all.
    """
    lines, option, missing = _lines(survey(_masks(splits)), names, colors)
    if not missing:
        return ""
    if len(lines) > IGNORE_LABEL:
        return f"The masks hold {missing} more values or colors, too many for classes."
    path = os.path.join(root, PROPOSAL_FILE)
    try:
        write_text("\n".join(lines) + "\n", path)
    except OSError as error:
        return f"{missing} are missing, and {path} cannot be written ({error.strerror})."
    return (
        f"{path} lists {len(lines)} classes as the masks have them: edit their names, save it as "
        f"classes.txt and give the same command{option}."
    )


def _masks(splits) -> Tuple[str, ...]:
    return tuple(i.label for items in splits.values() for i in items if isinstance(i.label, str))


def _lines(found: Survey, names, colors) -> Tuple[Sequence[str], str, int]:
    """Lines of a class file, what the command needs besides, and how many classes are new."""
    lines = list(names)
    if found.labels:
        new = sorted(found.labels - {*names, *_NOT_CLASSES})
        return [*(lines or ["background"]), *new], "", len(new)
    if found.colors:
        lines = [f"{n} {r} {g} {b}" for n, (r, g, b) in zip(names, colors)]
        new = sorted(found.colors - {*map(tuple, colors), _BORDER})
        return [*lines, *("color_{0}_{1}_{2} {0} {1} {2}".format(*c) for c in new)], "", len(new)
    if found.ids == set(BINARY) and not names:
        return ["background", "object"], " with --mask_values=0,255", 2
    ids = sorted(found.ids - {IGNORE_LABEL})
    new = [i for i in ids if i >= len(names)]
    if not new:
        return lines, "", 0
    if max(ids) < 2 * len({*ids, *range(len(names))}) + 2:
        lines += [f"class_{i}" for i in range(len(names), max(ids) + 1)]
        return lines, "", len(new)
    values = sorted({*range(len(names)), *ids})
    lines += [f"class_{i}" for i in new]
    return lines, f" with --mask_values={','.join(map(str, values))}", len(new)
