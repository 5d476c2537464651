"""The scenes that `convert_synthetic` draws: streets, and two with opposite needs.

Lines are told apart by what is a few pixels away; regions of a mosaic by which color is frequent
among tiles that are many pixels wide. So networks of fine strides are better at the first, networks
of coarse strides at the second.
"""

from typing import Callable, Mapping, NamedTuple, Tuple

import numpy as np

from data_prep.street import CLASSES as STREET_CLASSES
from data_prep.street import draw_street

LINE_CLASSES = {
    "background": (0, 0, 0),
    "solid": (220, 20, 60),
    "dashed": (107, 142, 35),
    "double": (70, 130, 180),
}
LINES = 12
DASH = 4  # Length of a dash, and of a gap, in pixels.
DOUBLE_GAP = 3  # Between the two lines of a double one, in pixels.
NEAR = 2.5  # What is so near to a line has its class, in pixels.

TILE_CLASSES = {
    "red": (190, 60, 60),
    "green": (60, 190, 60),
    "blue": (60, 60, 190),
    "yellow": (190, 190, 60),
}
TILE = 16  # Side of a tile in pixels.
REGIONS = 3
OWN_SHARE = 0.45  # Of a region's tiles; the other colors share the rest.


class Scene(NamedTuple):
    """A kind of images to draw.

    Attributes:
      classes: color of each class, by its name.
      size: (height, width) in pixels that it is meant for.
      draw: takes a random generator, height and width; returns image uint8 [height, width, 3]
        and label uint8 [height, width].
    """

    classes: Mapping[str, Tuple[int, int, int]]
    size: Tuple[int, int]
    draw: Callable[[np.random.Generator, int, int], Tuple[np.ndarray, np.ndarray]]


def draw_lines(rng: np.random.Generator, height: int, width: int):
    """Bright lines of three kinds, one pixel wide, on noise.

    A double line is two solid ones. The pixels near a line have its class, in the gaps of a dashed
    one too: at stride 4 nothing could tell single pixels.

    Args:
      rng: decides everything.
      height: in pixels.
      width: in pixels.

    Returns:
      image uint8 [height, width, 3], label uint8 [height, width].
    """
    y, x = np.mgrid[:height, :width]
    brightness = np.full((height, width), 60.0)
    label = np.zeros((height, width), np.uint8)
    for kind in rng.permutation(np.arange(LINES) % 3):
        start, angle = rng.uniform(0, [height, width]), rng.uniform(0, np.pi)
        across = np.array([np.cos(angle), -np.sin(angle)])
        offsets = np.array([-0.5, 0.5]) * DOUBLE_GAP if kind == 2 else np.zeros(1)
        away = (y - start[0]) * across[0] + (x - start[1]) * across[1]
        label[np.abs(away) <= NEAR + offsets.max()] = 1 + kind
        for offset in offsets:
            point = start + offset * across
            rows, columns, along = line_pixels(point, angle, (height, width))
            bright = along % (2 * DASH) < DASH if kind == 1 else slice(None)
            brightness[rows[bright], columns[bright]] = 180
    image = np.clip(brightness + rng.normal(0, 15, label.shape), 0, 255).astype(np.uint8)
    return np.repeat(image[..., None], 3, axis=-1), label


def line_pixels(point: np.ndarray, angle: float, size: Tuple[int, int]):
    """The pixels of a line through the whole image: one in each row, or one in each column.

    Args:
      point: (y, x) that it passes through.
      angle: of its direction to the x axis, in radians.
      size: (height, width) of the image.

    Returns:
      rows and columns, int64 [N], and the distance of each along the line, float64 [N], in pixels.
    """
    direction = np.array([np.sin(angle), np.cos(angle)])
    axis = int(abs(direction[1]) > abs(direction[0]))  # A step along it is one row or column.
    steps = (np.arange(size[axis]) - point[axis]) / direction[axis]
    places = np.round(point + steps[:, None] * direction).astype(np.int64)
    inside = np.all((places >= 0) & (places < size), axis=1)
    return (*places[inside].T, steps[inside])


def draw_mosaic(rng: np.random.Generator, height: int, width: int):
    """Tiles in a few regions: a region has the class of the color that most of its tiles have.

    A single tile does not tell which color that is.

    Args:
      rng: decides everything.
      height: in pixels.
      width: in pixels.

    Returns:
      image uint8 [height, width, 3], label uint8 [height, width].
    """
    count = len(TILE_CLASSES)
    y, x = np.mgrid[:height, :width]
    centers = rng.uniform(0, [height, width], (REGIONS, 2))[:, :, None, None]
    region = np.argmin(np.hypot(y - centers[:, 0], x - centers[:, 1]), axis=0)
    label = rng.permutation(count)[region].astype(np.uint8)
    top, left = rng.integers(TILE, size=2)
    tile = (y + top) // TILE, (x + left) // TILE
    tiles = (height // TILE + 2, width // TILE + 2)
    own = rng.random(tiles) < OWN_SHARE
    other = rng.integers(1, count, tiles)  # How many colors further.
    color = (label + np.where(own, 0, other)[tile]) % count
    image = np.array(list(TILE_CLASSES.values()))[color] + rng.normal(0, 15, (height, width, 3))
    return np.clip(image, 0, 255).astype(np.uint8), label


SCENES = {
    "street": Scene(STREET_CLASSES, (128, 256), draw_street),
    "lines": Scene(LINE_CLASSES, (129, 129), draw_lines),
    "mosaic": Scene(TILE_CLASSES, (129, 129), draw_mosaic),
}
