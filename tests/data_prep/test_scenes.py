import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data_prep.scenes import DOT_CLASSES, DOT_RADIUS, LINE_CLASSES, SCENES, line_pixels


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
    flat = int(abs(np.cos(angle)) > abs(np.sin(angle)))
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
    # One of 4 pixels across, half of that, and two of 7; crossings change a little.
    assert share["background"] < 0.001
    assert 0.12 < share["dashed"] < 0.18 and 0.23 < share["solid"] < 0.28
    assert 0.27 < share["double"] < 0.32


def test_lines_in_any_size():
    for size in ((33, 40), (64, 200)):
        image, label = draw("lines", 0, size)
        assert image.shape == (*size, 3) and label.shape == size and label.max() == 3


def test_a_pixel_has_the_class_of_the_nearest_dot():
    colors = np.array(list(DOT_CLASSES.values()))
    for seed, size in enumerate([(129, 129), (65, 200), (33, 32)]):
        image, label = draw("dots", seed, size)
        y, x = np.mgrid[: size[0], : size[1]]
        distances = []
        for kind, color in enumerate(colors):
            dot = np.linalg.norm(image - color.astype(float), axis=-1) < 55
            # A disc: its area, and a center with its own class.
            assert 0.6 < dot.sum() / (np.pi * DOT_RADIUS**2) < 1.2
            center = np.array([y[dot].mean(), x[dot].mean()])
            assert label[tuple(center.astype(int))] == kind
            distances.append(np.hypot(y - center[0], x - center[1]))
        assert np.mean(np.argmin(distances, axis=0) == label) > 0.97


def test_dots_are_far_from_each_other_and_noise_is_the_rest():
    image, label = draw("dots", 7)
    away = np.linalg.norm(image - 120.0, axis=-1) > 65
    assert 0.015 < away.mean() < 0.025  # Three discs of radius 6.
    rest = image[~away].astype(float)
    assert abs(rest.mean() - 120) < 1 and 14 < rest.std() < 16
    # The classes' backgrounds are alike.
    for kind in range(len(DOT_CLASSES)):
        assert abs(image[~away & (label == kind)].mean() - 120) < 1
