"""The meaning of a folder's masks: the number, the brightness or the color of each pixel.

It is decided once, on many masks together, since one alone often fits several ways: black and white
as 0 and 1, or as 0 and 255, or as the colors of two classes.
"""

import dataclasses
from typing import Dict, List, Mapping, NamedTuple, Sequence, Tuple

import numpy as np

from adl_tf.data.description import IGNORE_LABEL, Color, default_colors
from data_prep.errors import BadExample, ConversionError
from data_prep.mask_pixels import COLOR, GRAY, PALETTE, Mask, read

NUMBER, BRIGHTNESS = "number", "brightness"  # And COLOR.
_BORDER = (224, 224, 192)  # VOC's color of what is ignored.
_NONE = -1
_SAMPLE = 200  # Masks that are looked at before it is decided.
_BLURRED = 0.1  # Pixels of a lossy mask that may be between its two classes: their edges.


@dataclasses.dataclass(frozen=True)
class Reading:
    """The reading of a folder's masks.

    Attributes:
      values: (value, label) of numbers and brightness.
      colors: (color, label).
      given: the user's own values or colors: "values", "colors" or "".
      ways: (kind of mask, NUMBER, BRIGHTNESS or COLOR) of the kinds that were looked at.
      palette: (index, color) where palettes are read by NUMBER, so that all have to agree.
    """

    values: Tuple[Tuple[int, int], ...]
    colors: Tuple[Tuple[Color, int], ...]
    given: str = ""
    ways: Tuple[Tuple[str, str], ...] = ()
    palette: Tuple[Tuple[int, Color], ...] = ()

    def labels(self, mask: Mask, way: str) -> np.ndarray:
        """int64 [R], the label of each row of a mask; -1 where it has none."""
        if way != COLOR:
            table = dict(self.values)
            values = mask.stored if way == NUMBER else mask.brightness
            return np.array([table.get(value, _NONE) for value in values.tolist()])
        table = dict(self.colors)
        labels = np.array([table.get(tuple(color), _NONE) for color in mask.shown.tolist()])
        ignored = (labels == _NONE) & (mask.stored == IGNORE_LABEL)
        return np.where(ignored, IGNORE_LABEL, labels)


def read_mask(path: str, reading: Reading) -> np.ndarray:
    """The label map of a mask.

    Returns:
      uint8 [H, W].

    Raises:
      BadExample: as `masks.read`; a number or color of no class, a palette that is not the
        folder's, or a format that changes pixels, unless two values were given.
    """
    mask = read(path)
    if mask.lossy:
        return _nearest(mask, reading, path)
    way = dict(reading.ways).get(mask.kind) or _choose_way(mask, reading)
    labels = reading.labels(mask, way)
    if way == NUMBER and mask.kind == PALETTE:
        _check_palette(mask, dict(reading.palette), path)
    if labels.min() == _NONE:
        raise _unknown(mask, labels == _NONE, way, reading, path)
    return labels.astype(np.uint8)[mask.rows]


class Choice(NamedTuple):
    """A reading, and lines for the user about what might not be meant."""

    reading: Reading
    notes: List[str]


def choose_reading(
    paths: Sequence[str],
    num_classes: int,
    colors: Mapping[int, Color],
    mask_values: Sequence[int] = (),
) -> Choice:
    """Decides what the masks of a folder mean, from up to 200 of them.

    Args:
      paths: paths of all masks.
      num_classes: number of classes of the folder.
      colors: colors of the classes that the user gave one, by label; without any, PASCAL VOC's.
      mask_values: that of each class; they come before colors. Empty for the class ids.

    Raises:
      ConversionError: palettes that contradict each other, or two classes of one color.
    """
    reading = _offer(num_classes, colors, mask_values)
    masks, notes, ways, palette = _sample(paths), [], {}, {}
    for kind in (GRAY, PALETTE, COLOR):
        members = {p: m for p, m in masks.items() if m.kind == kind and not m.lossy}
        if not members:
            continue
        way = _choose_way(_join(list(members.values())), reading)
        if way == NUMBER and kind == PALETTE and reading.given != "values":
            palette, clash = _common_palette(members)
            if clash and (reading.labels(_join(list(members.values())), COLOR) == _NONE).any():
                raise ConversionError(clash)
            way, palette = (COLOR, {}) if clash else (way, palette)
        if way == COLOR:
            _check_distinct(colors)
        ways[kind] = way
        notes += _explain(members, way, reading)
    lossy = [path for path, mask in masks.items() if mask.lossy]
    if lossy and len(mask_values) == 2:
        notes.append(
            f"{lossy[0]}: its format changes pixels; each counts as the nearer of "
            f"{mask_values[0]} and {mask_values[1]}."
        )
    chosen = dataclasses.replace(reading, ways=tuple(ways.items()), palette=tuple(palette.items()))
    return Choice(chosen, notes)


def _offer(num_classes, colors, mask_values) -> Reading:
    """All ways, none of them chosen."""
    values = mask_values or range(num_classes)
    labels = {IGNORE_LABEL: IGNORE_LABEL, **{value: i for i, value in enumerate(values)}}
    given = "values" if mask_values else "colors" if colors else ""
    colors = colors or dict(enumerate(default_colors(num_classes)))
    of_colors = {_BORDER: IGNORE_LABEL, **{color: label for label, color in colors.items()}}
    return Reading(tuple(labels.items()), tuple(of_colors.items()), given)


def _choose_way(mask: Mask, reading: Reading) -> str:
    """The first way that gives each row a label, and more than class 0 and the ignore label."""
    ways = _ways_of(mask, reading)
    fitting = [way for way in ways if (reading.labels(mask, way) != _NONE).all()]

    def is_doubtful(way):
        found = set(reading.labels(mask, way).tolist())
        return way != COLOR and found <= {0, IGNORE_LABEL} and IGNORE_LABEL in found

    return next((way for way in fitting if not is_doubtful(way)), (fitting or ways)[0])


def _ways_of(mask: Mask, reading: Reading) -> List[str]:
    """The ways in which masks of a kind can be meant, likely ones first."""
    is_gray = (mask.brightness != _NONE).all()
    colors = [COLOR] if reading.given == "colors" else []
    if mask.kind == GRAY:
        drawn = all(len(set(color)) == 1 or color == _BORDER for color, _ in reading.colors)
        return [*(colors if drawn else []), NUMBER, BRIGHTNESS]
    if mask.kind == COLOR:
        values = [BRIGHTNESS] if is_gray or reading.given == "values" else []
        return [*colors, *values] or [COLOR]
    if colors and not is_gray:
        return colors
    # An index beside a brightness of another order says nothing.
    order = mask.brightness[np.argsort(mask.stored)]
    reversed_ = is_gray and reading.given != "values" and (np.diff(order) < 0).any()
    return [*colors, BRIGHTNESS, *([] if reversed_ else [NUMBER])]


def _sample(paths: Sequence[str]) -> Dict[str, Mask]:
    """Masks from all over the folder; those that cannot be read are named by the conversion."""
    paths, masks = sorted(set(paths)), {}
    for index in np.unique(np.linspace(0, len(paths) - 1, min(len(paths), _SAMPLE)).astype(int)):
        try:
            masks[paths[index]] = read(paths[index])
        except BadExample:
            continue
    return masks


def _join(masks: Sequence[Mask]) -> Mask:
    """The tables of several masks of a kind as one, without pixels."""
    rows = np.concatenate([np.column_stack([mask.stored, mask.shown]) for mask in masks])
    rows = np.unique(rows, axis=0)
    return Mask(masks[0].kind, np.zeros((0, 0), np.int64), rows[:, 0], rows[:, 1:])


def _rows(mask: Mask):
    """(stored, shown) of each row, as Python's numbers."""
    return zip(mask.stored.tolist(), map(tuple, mask.shown.tolist()))


def _common_palette(masks: Mapping[str, Mask]) -> Tuple[Dict[int, Color], str]:
    """The color of each index, and where two masks disagree, in one line; "" if none do."""
    palette, first = {}, {}
    for path, mask in masks.items():
        for index, color in _rows(mask):
            if index != IGNORE_LABEL and palette.setdefault(index, color) != color:
                return {}, (
                    f"{path}: its palette has {_text(color)} at index {index}, that of "
                    f"{first[index]} {_text(palette[index])}; give each class its color in "
                    "classes.txt (`road 128 64 128`)."
                )
            first.setdefault(index, path)
    return palette, ""


def _check_palette(mask: Mask, palette: Mapping[int, Color], path: str) -> None:
    for index, color in _rows(mask):
        if index != IGNORE_LABEL and palette.get(index, color) != color:
            raise BadExample(
                path,
                f"its palette has {_text(color)} at index {index}, others {_text(palette[index])}",
                "give each class its color in classes.txt (`road 128 64 128`)",
            )


def _check_distinct(colors: Mapping[int, Color]) -> None:
    for color in colors.values():
        same = [label for label in colors if colors[label] == color]
        if len(same) > 1:
            raise ConversionError(
                f"classes {same[0]} and {same[1]} both have the color {_text(color)}, and the "
                "masks are drawn in colors; give each class its own."
            )


def _explain(masks: Mapping[str, Mask], way: str, reading: Reading) -> List[str]:
    """One line where masks of a kind are not read by their numbers, though they could be meant."""
    for path, mask in masks.items():
        numbers, labels = reading.labels(mask, NUMBER), reading.labels(mask, way)
        for row in np.flatnonzero((labels != numbers) & (labels != _NONE)):
            index, color, label = mask.stored[row], _text(mask.shown[row]), labels[row]
            if mask.kind == COLOR and way == COLOR and not reading.given:
                return [f"the classes have no colors: PASCAL VOC's count, {color} is {label}."]
            if mask.kind == PALETTE:
                return [
                    f"{path}: colors count, not indices: {index} is {color}, that of class {label}."
                ]
            if mask.kind == GRAY and reading.given == "colors":
                return [f"{path}: {index} is {color}, the color of class {label}."]
    return []


def _nearest(mask: Mask, reading: Reading, path: str) -> np.ndarray:
    """The label map of a mask of two classes whose pixels are no longer exact."""
    value_of = {label: value for value, label in reading.values}
    if reading.given != "values" or sorted(set(value_of) - {IGNORE_LABEL}) != [0, 1]:
        most = mask.stored[np.argsort(-mask.counts, kind="stable")][:5]
        raise BadExample(
            path,
            f"its format changes pixels: {len(mask.stored)} values, most often "
            f"{', '.join(map(str, most))}",
            "store masks as PNG, or where two classes are meant give their values, such as "
            "--mask_values=0,255",
        )
    values = np.array([value_of[0], value_of[1]])
    distances = np.abs(mask.stored[:, np.newaxis] - values)
    between = distances.min(axis=1) * 4 > np.ptp(values)
    blurred = mask.counts[between].sum()
    if blurred > _BLURRED * mask.rows.size:
        most = mask.stored[between][np.argmax(mask.counts[between])]
        raise BadExample(
            path,
            f"{blurred} pixels are neither {values[0]} nor {values[1]}, most often {most}",
            "store masks as PNG",
        )
    return distances.argmin(axis=1).astype(np.uint8)[mask.rows]


def _unknown(mask: Mask, rows: np.ndarray, way: str, reading: Reading, path: str) -> BadExample:
    row = np.flatnonzero(rows)[0]
    values = mask.stored if way == NUMBER else mask.brightness
    if way == COLOR or (mask.kind != GRAY and values[row] == _NONE):
        fix = "store class ids, or give the colors in classes.txt (`road 128 64 128`)"
        if mask.kind == PALETTE:
            fix += "; without any there, indices count"
        return BadExample(path, f"colors that are no class, such as {_text(mask.shown[row])}", fix)
    known = [value for value, label in reading.values if label != IGNORE_LABEL]
    fix = f"use ids 0..{len(known) - 1}, and {IGNORE_LABEL} for pixels to ignore"
    if reading.given == "values":
        fix = f"--mask_values says {', '.join(map(str, known))}, and {IGNORE_LABEL} is ignored"
    count = mask.counts[row]
    return BadExample(path, f"unknown label id {values[row]} in {count} pixels", fix)


def _text(color) -> str:
    return " ".join(str(int(channel)) for channel in color)
