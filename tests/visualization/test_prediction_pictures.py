import numpy as np
import pytest
from PIL import Image

from adl_tf.data.description import DatasetDescription, default_colors
from adl_tf.visualization.figure import figure_to_image, save_figure
from adl_tf.visualization.predictions import (
    ERROR_COLOR,
    GALLERY_WIDTH,
    IGNORE_COLOR,
    OPACITY,
    SEPARATOR,
    SMALL_SIDE,
    classes_present,
    colorize,
    prediction_gallery,
    prediction_panel,
    shrink_example,
)

pytestmark = pytest.mark.filterwarnings("error")

COLORS = ((128, 64, 128), (0, 0, 0), (255, 255, 255))


def describe(num_classes):
    names = tuple(f"class {label}" for label in range(num_classes))
    return DatasetDescription("toy", names, default_colors(num_classes), splits={})


def random_example(num_classes, height, width, seed=0):
    generator = np.random.default_rng(seed)
    image = generator.integers(256, size=(height, width, 3), dtype=np.uint8)
    label, prediction = generator.integers(num_classes, size=(2, height, width))
    label[:2] = 255
    return image, label, prediction


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_colorize_is_exact(dtype):
    painted = colorize(np.array([[0, 1], [2, 255], [1, 0]], dtype), COLORS)
    assert painted.dtype == np.uint8
    assert [[tuple(pixel) for pixel in row] for row in painted.tolist()] == [
        [COLORS[0], COLORS[1]],
        [COLORS[2], IGNORE_COLOR],
        [COLORS[1], COLORS[0]],
    ]


def test_colorize_takes_the_ignore_label_given():
    assert tuple(colorize(np.array([[0]]), COLORS, ignore_label=0)[0, 0]) == IGNORE_COLOR


def test_ignored_pixels_look_like_no_class():
    assert IGNORE_COLOR not in default_colors(255)


@pytest.mark.parametrize("label", [3, -1, 254])
def test_colorize_refuses_unknown_labels(label):
    with pytest.raises(ValueError, match=rf"labels \[{label}\]; there are 3 classes"):
        colorize(np.array([[0, label]]), COLORS)


def test_colorize_refuses_other_ranks():
    with pytest.raises(ValueError, match=r"shape \[1, 2, 2\]"):
        colorize(np.zeros((1, 2, 2), int), COLORS)


def test_panel_is_image_label_prediction_overlay_errors():
    description = describe(4)
    image, label, prediction = random_example(4, 7, 9)
    panel = prediction_panel(image, label, prediction, description)
    assert panel.dtype == np.uint8 and panel.shape == (7, 5 * 9 + 4 * SEPARATOR, 3)
    step = 9 + SEPARATOR
    np.testing.assert_array_equal(panel[:, :9], image)
    np.testing.assert_array_equal(panel[:, step : step + 9], colorize(label, description.colors))
    painted = colorize(prediction, description.colors)
    np.testing.assert_array_equal(panel[:, 2 * step : 2 * step + 9], painted)
    overlay = panel[:, 3 * step : 3 * step + 9].astype(float)
    np.testing.assert_allclose(overlay, (1 - OPACITY) * image + OPACITY * painted, atol=0.5)
    assert (panel[:, 9:step] == 255).all()
    red = (panel[:, 4 * step :] == ERROR_COLOR).all(-1)
    wrong = (label != prediction) & (label != description.ignore_label)
    np.testing.assert_array_equal(red, wrong)
    assert 0 < wrong.sum() < wrong.size


def test_panel_names_its_faults():
    image, label, prediction = random_example(4, 7, 9)
    with pytest.raises(ValueError, match="differ in size"):
        prediction_panel(image, label[1:], prediction, describe(4))
    with pytest.raises(ValueError, match="image is float64"):
        prediction_panel(image / 255, label, prediction, describe(4))


def test_small_examples_stay_and_large_ones_shrink_alike():
    image, label, prediction = random_example(4, 10, 20)
    for small, large in zip(shrink_example(image, label, prediction), (image, label, prediction)):
        assert small is large
    # Blocks of one color and label: each pixel of the small ones is one of them.
    blocks = [np.kron(part, np.ones((100, 100), part.dtype)) for part in (label, prediction)]
    large = image.repeat(100, 0).repeat(100, 1)
    small = shrink_example(large, *blocks, side=20)
    for found, expected in zip(small, (image, label, prediction)):
        np.testing.assert_array_equal(found, expected)
    image, label, prediction = shrink_example(large.swapaxes(0, 1), blocks[0].T, blocks[1].T)
    assert image.shape == (SMALL_SIDE, SMALL_SIDE // 2, 3)
    assert label.shape == prediction.shape == image.shape[:2]


def test_present_classes_leave_out_the_ignored():
    assert classes_present([np.array([[7, 255]]), np.array([[0], [7]])], describe(9)) == [0, 7]


def test_gallery_legend_names_what_occurs():
    examples = [random_example(5, 20, 30), random_example(5, 40, 20, seed=1)]
    figure = prediction_gallery(*zip(*examples), describe(150))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [
        *(f"class {label}" for label in range(5)),
        "ignored",
    ]
    assert len(figure.axes) == 2


@pytest.mark.parametrize(
    "num_classes, name",
    [(1, "car"), (19, "traffic light"), (19, "x"), (150, "arcade machine with a long name")],
)
def test_gallery_draws(num_classes, name, tmp_path):
    description = DatasetDescription(
        "toy", (name,) * num_classes, default_colors(num_classes), splits={}
    )
    examples = [random_example(num_classes, 33, 65, seed) for seed in range(2)]
    figure = prediction_gallery(*zip(*examples), description, ["one", "two"])
    save_figure(figure, tmp_path / "gallery.png")
    with Image.open(tmp_path / "gallery.png") as picture:
        picture.load()
        assert picture.format == "PNG" and picture.size[0] == round(100 * GALLERY_WIDTH)

    # The legend has room of its own: it neither leaves the picture nor covers a panel.
    figure_to_image(figure)
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1
    assert box.y1 <= min(axes.bbox.y0 for axes in figure.axes)


def test_gallery_needs_examples():
    with pytest.raises(ValueError, match="at least one"):
        prediction_gallery([], [], [], describe(2))
    image, label, prediction = random_example(2, 4, 4)
    with pytest.raises(ValueError, match="2 predictions"):
        prediction_gallery([image], [label], [prediction] * 2, describe(2))
    with pytest.raises(ValueError, match="1 images and 2 captions"):
        prediction_gallery([image], [label], [prediction], describe(2), ["one", "two"])
