"""Class files as people and other tools write them: names, and colors where there are any."""

import re
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from adl_tf.data.description import IGNORE_LABEL, Color, default_colors
from data_prep.errors import ConversionError

# labelme's name of what it stores as 255.
IGNORED = "__ignore__"
# What the first line of a table may say, which is no class then.
_HEADINGS = set(
    "name names label labels class classes category id ids idx index value pixel r g b red green "
    "blue rgb color colour color_rgb hex parts actions".split()
)
_SEPARATORS = r"[\s,;:]+"
_COLOR = r"#[0-9a-fA-F]{6}|[(\[]?\d+[\s,;]+\d+[\s,;]+\d+[)\]]?"
_CVAT = re.compile(r"(?P<name>[^:]+):(?P<color>\d+,\d+,\d+)?:[^:]*:[^:]*")
# A last word of digits would be the red of a color of four numbers.
_NAME = r"(?:.*[\s,;:])?[^\s,;:]*[^\d\s,;:.][^\s,;:]*"
_COLOR_LAST = re.compile(rf"(?P<name>{_NAME}){_SEPARATORS}(?P<color>{_COLOR})[\s,;:]*")
_COLOR_FIRST = re.compile(rf"(?P<color>{_COLOR}){_SEPARATORS}(?P<name>[^\d\s].*)")
_FORMS = "`road`, `road 128 64 128`, `road,128,64,128`, `road:128,64,128::`, `road #804080`"


class ClassFile(NamedTuple):
    """The content of a class file.

    Attributes:
      names: one per class, in the order of the label ids.
      colors: colors of the classes that are given one, by label.
    """

    names: Tuple[str, ...]
    colors: Dict[int, Color]

    @property
    def all_colors(self) -> Tuple[Color, ...]:
        """One color per class; PASCAL VOC's where none is given."""
        default = default_colors(len(self.names))
        return tuple(self.colors.get(label, default[label]) for label in range(len(self.names)))


def read_class_file(path: str) -> ClassFile:
    """Reads a class file: a class for each line, in one of these forms.

    `road`; `road 128 64 128`, also with tabs, commas or semicolons; `128 64 128 road`;
    `road:128,64,128::`, as CVAT has it; `road #804080`. All lines may begin with the number of
    their class (`1 road`, `1: road`, as in Roboflow's `_classes.csv`). Headings of tables, lines
    that begin with # and labelme's `__ignore__` are left out.

    Raises:
      ConversionError: a line that is none of these, a name that is there twice, numbers that leave
        one out, no class, or more than 255.
    """
    try:
        with open(path, encoding="utf-8-sig") as file:  # Some editors put a mark at the start.
            texts = [line.strip() for line in file]
    except UnicodeDecodeError as error:
        raise ConversionError(f"{path}: not UTF-8 ({error.reason}); save it as that.") from error
    texts = [text for text in texts if text and not _is_comment(text)]
    if texts and _is_heading(texts[0]):
        texts = texts[1:]
    numbered = _split_numbers(texts, path)
    lines = [_parse(text, path) for text in (texts if numbered is None else numbered)]
    lines = [(name, color) for name, color in lines if name != IGNORED]
    if not 0 < len(lines) <= IGNORE_LABEL:
        raise ConversionError(f"{path}: {len(lines)} classes; give 1 to {IGNORE_LABEL}.")
    names = tuple(name for name, _ in lines)
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ConversionError(f"{path}: the class {twice!r} is there twice; rename or remove one.")
    return ClassFile(names, {i: color for i, (_, color) in enumerate(lines) if color})


def _is_comment(text: str) -> bool:
    return text.startswith("#") and not re.match(r"#[0-9a-fA-F]{6}\b", text)


def _is_heading(text: str) -> bool:
    words = re.findall(r"\w+", text.lower())
    return len(words) > 1 and set(words) <= _HEADINGS


def _split_numbers(texts: Sequence[str], path: str) -> Optional[List[str]]:
    """The lines without the numbers of their classes, in their order; None if they have none."""
    parts = [re.fullmatch(r"(\d+)[\s,;:]+(.*[^\d\s,;:.].*)", text) for text in texts]
    if not texts or not all(parts) or any(_COLOR_FIRST.fullmatch(text) for text in texts):
        return None
    rows = sorted((int(part[1]), part[2]) for part in parts if int(part[1]) != IGNORE_LABEL)
    if [number for number, _ in rows] != list(range(len(rows))):
        raise ConversionError(
            f"{path}: the numbers of the classes are not 0..{len(rows) - 1}; give a line to each "
            "number from 0 on, as in the pixels of the masks."
        )
    return [text for _, text in rows]


def _parse(text: str, path: str) -> Tuple[str, Optional[Color]]:
    """Name and color of a line without number."""
    match = _CVAT.fullmatch(text) or _COLOR_LAST.fullmatch(text) or _COLOR_FIRST.fullmatch(text)
    if match:
        parts = match.groupdict()
        color = _color(parts["color"], text, path) if parts["color"] else None
        return parts["name"].strip(" \"'"), color
    # Numbers that are left are no color; one after a space is part of a name, such as `lane 2`.
    numbers = re.findall(r"[\s,;:]+-?[\d.]+(?=[\s,;:]|$)", text)
    if len(numbers) > 1 or numbers and numbers[0].strip("-.0123456789") != " ":
        raise ConversionError(f"{path}: {text!r} is no class; write {_FORMS}.")
    return text.strip(" ,;:\"'"), None


def _color(text: str, line: str, path: str) -> Color:
    if text.startswith("#"):
        return tuple(bytes.fromhex(text[1:]))
    color = tuple(map(int, re.findall(r"\d+", text)))
    if max(color) > 255:
        raise ConversionError(f"{path}: {line!r}: a color has three values in 0..255.")
    return color
