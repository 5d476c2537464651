"""The scenes that `convert_synthetic` draws: streets, and two with opposite needs.

Lines are told apart by what is a few pixels away, and have to be found to the pixel; with dots,
every pixel depends on what is far away, and nothing has to be found to the pixel. So networks of
fine strides are better at the first, networks of coarse strides at the second.
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
LINES = 60  # In an image of 129x129.
LENGTH = 24  # In pixels.
DASH = 4  # Length of a dash, and of a gap, in pixels.
DOUBLE_GAP = 3  # Between the two lines of a double one, in pixels.
NEAR = 2  # What is so near to a line has its class, in pixels.

DOT_CLASSES = {
    "nearest to red": (190, 60, 60),
    "nearest to green": (60, 190, 60),
    "nearest to blue": (60, 60, 190),
}
DOT_RADIUS = 6  # In pixels.
DOT_DISTANCE = 0.37  # At least this share of the shorter side is between two dots.


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
    """Short bright lines of three kinds, one pixel wide, on noise.

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
    count = max(3, round(LINES * height * width / 129**2))
    for kind in rng.permutation(np.arange(count) % 3):
        center, angle = rng.uniform(0, [height, width]), rng.uniform(0, np.pi)
        line_brightness = rng.uniform(130, 210)  # So that it does not tell the kind.
        (dy, dx), across = direction(angle), direction(angle + np.pi / 2)
        offsets = np.array([-0.5, 0.5]) * DOUBLE_GAP if kind == 2 else np.zeros(1)
        near = np.abs((y - center[0]) * dy + (x - center[1]) * dx) <= LENGTH / 2
        away = np.abs((y - center[0]) * across[0] + (x - center[1]) * across[1])
        label[near & (away <= NEAR + offsets.max())] = 1 + kind
        for offset in offsets:
            rows, columns, along = line_pixels(center + offset * across, angle, (height, width))
            bright = np.abs(along) <= LENGTH / 2
            if kind == 1:
                bright &= along % (2 * DASH) < DASH
            brightness[rows[bright], columns[bright]] = line_brightness
    image = np.clip(brightness + rng.normal(0, 15, label.shape), 0, 255).astype(np.uint8)
    return np.repeat(image[..., None], 3, axis=-1), label


def direction(angle: float) -> np.ndarray:
    """The unit vector (y, x) at an angle to the x axis, in radians."""
    return np.array([np.sin(angle), np.cos(angle)])


def line_pixels(point: np.ndarray, angle: float, size: Tuple[int, int]):
    """The pixels of a line through the whole image: one in each row, or one in each column.

    Args:
      point: (y, x) that it passes through.
      angle: angle of its direction to the x axis, in radians.
      size: (height, width) of the image.

    Returns:
      rows and columns, int64 [N], and the distance of each along the line, float64 [N], in pixels.
    """
    step = direction(angle)
    axis = int(abs(step[1]) > abs(step[0]))  # A step along it is one row or column.
    steps = (np.arange(size[axis]) - point[axis]) / step[axis]
    places = np.round(point + steps[:, None] * step).astype(np.int64)
    inside = np.all((places >= 0) & (places < size), axis=1)
    return (*places[inside].T, steps[inside])


def draw_dots(rng: np.random.Generator, height: int, width: int):
    """A dot of each color on noise; every pixel has the class of the nearest one.

    Nothing else tells the classes apart, and all of them are in every image.

    Args:
      rng: decides everything.
      height: in pixels.
      width: in pixels.

    Returns:
      image uint8 [height, width, 3], label uint8 [height, width].
    """
    colors = np.array(list(DOT_CLASSES.values()))
    centers = np.zeros((len(colors), 2))
    while min_distance(centers) < DOT_DISTANCE * min(height, width):
        low, high = DOT_RADIUS, [height - DOT_RADIUS, width - DOT_RADIUS]
        centers = rng.uniform(low, high, centers.shape)
    y, x = np.mgrid[:height, :width]
    distances = np.hypot(*(np.stack([y, x])[:, None] - centers.T[:, :, None, None]))
    label = np.argmin(distances, axis=0).astype(np.uint8)
    on_dot = np.min(distances, axis=0)[..., None] <= DOT_RADIUS
    image = np.where(on_dot, colors[label], 120) + rng.normal(0, 15, (height, width, 3))
    return np.clip(image, 0, 255).astype(np.uint8), label


def min_distance(points: np.ndarray) -> float:
    """The smallest distance of two of the points [N, 2]."""
    first, second = np.triu_indices(len(points), 1)
    return float(np.min(np.hypot(*(points[first] - points[second]).T)))


SCENES = {
    "street": Scene(STREET_CLASSES, (128, 256), draw_street),
    "lines": Scene(LINE_CLASSES, (129, 129), draw_lines),
    "dots": Scene(DOT_CLASSES, (129, 129), draw_dots),
}
