import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.scenes import LINE_CLASSES, OWN_SHARE, SCENES, TILE, TILE_CLASSES, line_pixels


def draw(scene, seed, size=(129, 129)):
    return SCENES[scene].draw(np.random.default_rng(seed), *size)


@pytest.mark.parametrize("scene", SCENES)
def test_every_class_is_drawn_and_no_other(scene):
    size = SCENES[scene].size
    labels = set()
    for seed in range(8):
        image, label = draw(scene, seed, size)
        assert image.shape == (*size, 3) and label.shape == size
        assert image.dtype == label.dtype == np.uint8
        labels.update(np.unique(label))
    assert labels == set(range(len(SCENES[scene].classes)))


@pytest.mark.parametrize("scene", SCENES)
def test_a_seed_decides_everything(scene):
    first, second, other = draw(scene, 1), draw(scene, 1), draw(scene, 2)
    assert all(np.array_equal(a, b) for a, b in zip(first, second))
    assert not np.array_equal(first[0], other[0]) and not np.array_equal(first[1], other[1])


@given(
    size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
    share=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    angle=st.floats(0, np.pi),
)
def test_a_line_is_one_pixel_wide_and_passes_through_its_point(size, share, angle):
    point = np.multiply(share, np.subtract(size, 1))
    rows, columns, along = line_pixels(point, angle, size)
    assert rows.min() >= 0 and rows.max() < size[0]
    assert columns.min() >= 0 and columns.max() < size[1]
    flat = abs(np.cos(angle)) > abs(np.sin(angle))
    for first, second in zip(range(len(rows)), range(1, len(rows))):
        steps = abs(rows[second] - rows[first]), abs(columns[second] - columns[first])
        assert steps[flat] == 1 and steps[not flat] <= 1
    # No pixel is farther from the ideal line than half a pixel, on either axis.
    away = (rows - point[0]) * np.cos(angle) - (columns - point[1]) * np.sin(angle)
    assert np.abs(away).max() <= np.sqrt(0.5) + 1e-9
    assert np.abs(along).min() <= 1


def test_a_line_of_known_pixels():
    rows, columns, along = line_pixels(np.array([2.0, 0.0]), np.arctan2(1, 2), (5, 5))
    assert list(zip(rows, columns)) == [(2, 0), (2, 1), (3, 2), (4, 3), (4, 4)]
    np.testing.assert_allclose(along, np.arange(5) * np.sqrt(1.25))


def test_lines_differ_by_what_is_drawn():
    bright = {name: [] for name in LINE_CLASSES}
    for seed in range(8):
        image, label = draw("lines", seed)
        assert np.array_equal(image[..., 0], image[..., 2])  # Gray.
        for kind, name in enumerate(LINE_CLASSES):
            bright[name].append(np.mean(image[label == kind] > 120))
    share = {name: np.mean(values) for name, values in bright.items()}
    # One of 5 pixels across, half of that, and two of 8; crossings change a little.
    assert share["background"] < 0.001
    assert 0.1 < share["dashed"] < 0.19 < share["solid"] < 0.23 < share["double"] < 0.3


def test_lines_in_any_size():
    for size in ((33, 40), (64, 200)):
        image, label = draw("lines", 0, size)
        assert image.shape == (*size, 3) and label.shape == size and label.max() == 3


def test_a_region_of_a_mosaic_has_the_color_that_is_frequent_in_it():
    colors = np.array(list(TILE_CLASSES.values()))
    hits, regions = [], []
    for seed in range(12):
        image, label = draw("mosaic", seed, (257, 257))
        color = np.argmin(np.linalg.norm(image[:, :, None] - colors, axis=-1), axis=-1)
        hits.append(np.mean(color == label))
        for kind in np.unique(label):
            inside = color[label == kind]
            if inside.size > 60 * TILE**2:
                regions.append(np.bincount(inside, minlength=4).argmax() == kind)
    # A tile alone tells little, a region all.
    assert abs(np.mean(hits) - OWN_SHARE) < 0.03
    assert len(regions) > 20 and np.mean(regions) > 0.95


def test_tiles_of_a_mosaic_are_squares_of_one_color():
    image, label = draw("mosaic", 3)
    same = np.all(np.abs(np.diff(image.astype(int), axis=1)) < 100, axis=-1)
    edges = np.flatnonzero(~same[label.shape[0] // 2])
    inside = edges[label[label.shape[0] // 2][edges] == label[label.shape[0] // 2][edges + 1]]
    assert len(inside) and len(set((inside + 1) % TILE)) == 1
