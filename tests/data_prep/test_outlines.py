"""Which pixels are inside of an outline, against areas that are known and a plain reading."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from data_prep import outlines

HEIGHT, WIDTH = 40, 50
EXAMPLES = {"derandomize": True, "deadline": None, "database": None, "max_examples": 60}
seeds = st.integers(0, 2**32 - 1)


def draw(corners, size=(HEIGHT, WIDTH)):
    label = np.zeros(size, bool)
    window, inside = outlines.inside(np.array(corners, float), size)
    label[window] = inside
    return label


def square(left, top, right, bottom):
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def read_plainly(corners, size=(HEIGHT, WIDTH), points=8):
    """Share of each pixel that is inside: an odd number of sides is to the right of a point."""
    y, x = (np.mgrid[: size[0] * points, : size[1] * points] + 0.5) / points
    inside = np.zeros(y.shape, bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0)):
        crossed = (y0 > y) != (y1 > y)
        at = x0 + (x1 - x0) * (y[crossed] - y0) / (y1 - y0)
        inside[crossed] ^= x[crossed] < at
    return inside.reshape(size[0], points, size[1], points).mean(axis=(1, 3))


def random_star(seed):
    """An outline inside of the image that does not cross itself."""
    rng = np.random.default_rng(seed)
    count = rng.integers(4, 10)
    angles = 2 * np.pi * (np.arange(count) + rng.uniform(0.1, 0.9, count)) / count
    spokes = np.stack([np.cos(angles), np.sin(angles)], -1)
    return rng.uniform(15, 25, 2) + rng.uniform(3, 14, (count, 1)) * spokes


def area_of(corners):
    x, y = np.transpose(corners)
    return abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum()) / 2


def test_a_square_of_ten_has_a_hundred_pixels():
    expected = np.zeros((HEIGHT, WIDTH), bool)
    expected[10:20, 5:15] = True
    np.testing.assert_array_equal(draw(square(5, 10, 15, 20)), expected)
    np.testing.assert_array_equal(draw(square(5.3, 9.8, 15.4, 20.2)), expected)
    np.testing.assert_array_equal(draw(square(5, 10, 15, 20)[::-1]), expected)


def test_what_is_beyond_the_image_is_cut():
    assert draw(square(-5, -7, 10, 10)).sum() == 100
    assert draw(square(WIDTH - 10, HEIGHT - 10, WIDTH + 30, HEIGHT + 1)).sum() == 100
    assert draw(square(-9, -9, WIDTH + 9, HEIGHT + 9)).all()
    assert not draw(square(WIDTH, 0, WIDTH + 9, 9)).any()
    assert not draw(square(3, 5, 3, 15)).any()


@settings(**EXAMPLES)
@given(seeds)
def test_the_pixels_are_those_of_pycocotools(seed):
    corners = random_star(seed)
    runs = coco_mask.frPyObjects([corners.ravel().tolist()], HEIGHT, WIDTH)
    np.testing.assert_array_equal(draw(corners), coco_mask.decode(runs)[..., 0])


@settings(**EXAMPLES)
@given(seeds)
def test_pixels_that_are_mostly_inside_are_inside(seed):
    """Corners are rounded to fifths of a pixel, so only those at the edge may be either: of 6000
    outlines none left out a pixel of a share above 0.74 or drew one below 0.07."""
    corners = random_star(seed)
    label, share = draw(corners), read_plainly(corners)
    assert label[share > 0.9].all() and not label[share < 0.02].any()
    around = np.hypot(*(corners - np.roll(corners, -1, axis=0)).T).sum()
    assert abs(label.sum() - area_of(corners)) < 0.3 * around


def test_areas_are_right_in_the_mean():
    """Drawn by lines at four times the size they were larger by an eighth of their length."""
    stars = [random_star(seed) for seed in range(300)]
    around = sum(np.hypot(*(s - np.roll(s, -1, axis=0)).T).sum() for s in stars)
    surplus = sum(draw(s).sum() - area_of(s) for s in stars)
    assert abs(surplus / around) < 0.01


@settings(**EXAMPLES)
@given(seeds)
def test_outlines_with_common_sides_tile(seed):
    """A star that is cut into triangles about its center."""
    corners = random_star(seed)
    center = corners.mean(axis=0)
    (x0, y0), (x1, y1) = (corners - center).T, (np.roll(corners, -1, axis=0) - center).T
    if (x0 * y1 <= x1 * y0).any():
        return  # The center does not see all corners.
    parts = [draw([center, *pair]) for pair in zip(corners, np.roll(corners, -1, axis=0))]
    np.testing.assert_array_equal(sum(part.astype(int) for part in parts), draw(corners))
