"""Sizes and other numbers as users write them, in gin bindings and on the command line."""

from typing import Any, Callable, Sequence, Tuple

Size = Tuple[int, int]


def crop_sides(crop_size: Any) -> Size:
    """One side of a square, or (height, width), as (height, width) in pixels.

    Example:
      >>> crop_sides(321)
      (321, 321)

    Raises:
      ValueError: neither, or not in whole pixels.
    """
    sides = [crop_size] * 2 if isinstance(crop_size, int) else crop_size
    if (
        not isinstance(sides, (list, tuple))
        or len(sides) != 2
        or not all(isinstance(side, int) and side > 0 for side in sides)
    ):
        raise ValueError(
            f"crop size {crop_size!r} is invalid: give one side or (height, width) in whole "
            "pixels, such as 321."
        )
    return tuple(sides)


def parse_image_size(texts: Sequence[str]) -> Size:
    """The height and width given by a flag --image_size=H,W.

    Example:
      >>> parse_image_size(["1025", "2049"])
      (1025, 2049)

    Raises:
      ValueError: not two positive integers.
    """
    try:
        height, width = map(int, texts)
    except ValueError:
        height = width = 0
    if min(height, width) < 1:
        raise ValueError(f"image size {','.join(texts)!r}: give height,width such as 1025,2049.")
    return height, width


def parse_sides(flag: str, texts: Sequence[str]) -> Size:
    """Two whole numbers, or one for both.

    Example:
      >>> parse_sides("crop_size", ["321"])
      (321, 321)

    Args:
      flag: its name, for the message.
      texts: its value, split at commas.

    Raises:
      ValueError: anything else.
    """
    numbers = parse_numbers(flag, texts, int)
    if len(numbers) not in (1, 2):
        raise ValueError(f"--{flag}={','.join(texts)}: give two numbers, or one for both.")
    return numbers[0], numbers[-1]


def parse_numbers(flag: str, texts: Sequence[str], kind: Callable) -> Tuple:
    """Comma-separated numbers.

    Example:
      >>> parse_numbers("scales", ["0.5", "1"], float)
      (0.5, 1.0)

    Args:
      flag: its name, for the message.
      texts: its value, split at commas.
      kind: int or float.

    Raises:
      ValueError: one is not a number of that kind.
    """
    try:
        return tuple(kind(text) for text in texts)
    except ValueError:
        raise ValueError(f"--{flag}={','.join(texts)}: give comma-separated numbers.") from None
