"""Positions of the tiles of a large image, and the regions that they read. No TensorFlow."""

from typing import List, NamedTuple, Tuple

# Tiles start at its multiples, and end as far beyond one as the image does: their feature maps of
# all strides then start at a position of the whole's, and are even or odd where those are, on which
# the padding of pooling depends.
STEP = 64


class Span(NamedTuple):
    """One side of a tile.

    Attributes:
      start, stop: the pixels that it sees, [start, stop).
      first, last: the pixels that it answers for, [first, last).
    """

    start: int
    stop: int
    first: int
    last: int


def cut(length: int, core: int, margin: int) -> List[Span]:
    """Tiles along one side of an image; a single one, if the image is no longer than a tile.

    Example:
      >>> cut(100, core=64, margin=0)
      [Span(start=0, stop=100, first=0, last=64), Span(start=64, stop=100, first=64, last=100)]

    Args:
      length: length of the side, in pixels.
      core: most pixels that a tile answers for; a multiple of `STEP`.
      margin: pixels that it sees around them; a multiple of `STEP`.
    """
    if length <= core + 2 * margin:
        return [Span(0, length, 0, length)]
    count = -(-length // core)
    step = -(-length // (count * STEP)) * STEP
    beyond = (length - 1) % STEP + 1
    return [
        Span(
            max(0, first - margin),
            min(length, first + step + margin + beyond),
            first,
            min(length, first + step),
        )
        for first in range(0, length, step)
    ]


def scaled_length(length: int, stride: int) -> int:
    """Length of a feature map, whose positions are the pixels 0, stride, 2 stride, ..."""
    return (length - 1) // stride + 1


def own_features(span: Span, stride: int) -> slice:
    """The positions, counted in the tile, of the feature map that a tile answers for."""
    start = span.start // stride
    return slice(span.first // stride - start, scaled_length(span.last, stride) - start)


def sampled_range(
    rows: Tuple[int, int], total: int, source: Tuple[int, int], source_total: int
) -> Tuple[float, float]:
    """The rows of a source that a part of a resized image reads; the resizing keeps corners.

    Args:
      rows: rows of the result, [first, last).
      total: rows of the whole result.
      source: the rows of the source that are there, [first, last).
      source_total: rows of the whole source.

    Returns:
      where the first and the last of `rows` are in `source`, whose own are at 0 and 1.
    """
    ratio = (source_total - 1) / max(1, total - 1)
    length = max(1, source[1] - source[0] - 1)
    low, high = ((row * ratio - source[0]) / length for row in (rows[0], rows[1] - 1))
    return low, high * (1 - 1e-6)  # Rounded up, it would lie outside.


def feature_range(span: Span, length: int, stride: int, stride_in: int) -> Tuple[float, float]:
    """The rows that a tile's feature map reads of the one that a network resizes to it.

    Args:
      span: span of the tile.
      length: length of the whole image, in pixels.
      stride, stride_in: strides of the feature maps, after and before resizing.

    Returns:
      as `sampled_range`.
    """
    part, part_in = (
        (span.start // each, span.start // each + scaled_length(span.stop - span.start, each))
        for each in (stride, stride_in)
    )
    return sampled_range(
        part, scaled_length(length, stride), part_in, scaled_length(length, stride_in)
    )


def image_rows(span: Span, length: int, image_length: int) -> Tuple[int, int]:
    """The rows [first, last) of an image that a tile of its resized copy answers for.

    Args:
      span: span of the tile.
      length: length of the resized copy.
      image_length: length of the image.
    """
    if image_length == length:
        return span.first, span.last
    ratio = (image_length - 1) / max(1, length - 1)
    first, last = (-int(-(row * ratio) // 1) for row in (span.first, span.last))
    return first, image_length if span.last == length else last
