import html.parser
import re

import numpy as np
import pytest

from adl_tf.data.description import DatasetDescription, default_colors
from adl_tf.evaluation.metrics import class_scores
from adl_tf.visualization.confusion import MAX_NUMBERED, draw_confusion
from adl_tf.visualization.evaluation_page import (
    ScoredImage,
    draw_images,
    evaluation_page,
    largest_confusions,
)
from adl_tf.visualization.figure import figure_to_image

pytestmark = pytest.mark.filterwarnings("error")


def describe(num_classes, name="class"):
    names = tuple(f"{name} {label}" for label in range(num_classes))
    return DatasetDescription("toy", names, default_colors(num_classes), splits={})


def scored_image(num_classes, name="street", seed=0):
    random = np.random.default_rng(seed)
    image = random.integers(256, size=(20, 30, 3), dtype=np.uint8)
    label, prediction = random.integers(num_classes, size=(2, 20, 30))
    return ScoredImage(name, 0.25, image, label, prediction)


class Checker(html.parser.HTMLParser):
    """Notes the text and the images of a page; fails where tags do not match."""

    def __init__(self, page):
        super().__init__()
        self.open, self.sources, self.text = [], [], ""
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        if tag not in ("meta", "img"):
            self.open.append(tag)
        if tag == "img":
            self.sources.append(dict(attributes)["src"])

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def page(counts, description, images=(), image_scores=()):
    scores = class_scores(counts)
    shown = {"mIoU": "12.34 %"}
    return evaluation_page(
        "a <b> & c", ["x < y"], shown, scores, counts, description, images, image_scores
    )


def test_page_is_self_contained_and_shows_its_input():
    counts = np.array([[3, 1, 0], [0, 2, 0], [0, 0, 0]])
    images = [scored_image(3, "a & b"), scored_image(3)]
    text = page(counts, describe(3, "<i>"), images, [("a & b", 0.25), ("street", 0.25)])
    assert not re.search(r"https?:|src=\"(?!data:)|<script |<link|url\(", text)
    checker = Checker(text)
    assert len(checker.sources) == 3
    for expected in ("a <b> & c", "x < y", "12.34 %", "<i> 2", "a & b", "75.0 %", "2 of 2: all"):
        assert expected in checker.text
    assert "85.7 %" in checker.text  # Dice of the first class: 2 * 3 / (4 + 3).
    assert "nan" not in checker.text and "<details>" not in text


def test_all_images_are_listed_where_only_some_are_shown():
    scores = [(f"image {index}", index / 10) for index in range(9)] + [("none", None)]
    text = page(np.eye(3, dtype=int), describe(3), [scored_image(3)], scores)
    assert "1 of 10: the worst and the best" in text and "<details>" in text
    assert text.count("data-name=") == 11 and 'data-score="0.700000"' not in text
    assert 'data-name="image 7" data-score="0.7"' in text
    # What the buttons order is there once each: the pictures and the list.
    assert text.count("<div data-sorted>") == text.count("<tbody data-sorted>") == 1


def test_dark_mode_and_narrow_screens_are_styled():
    text = page(np.eye(2, dtype=int), describe(2))
    assert "prefers-color-scheme: dark" in text and "width=device-width" in text


def test_page_without_errors_or_pixels():
    assert "No wrong pixels" in page(np.eye(2, dtype=int), describe(2))
    Checker(page(np.zeros((2, 2), int), describe(2)))


def test_largest_confusions():
    counts = [[90, 5, 0], [7, 99, 1], [0, 0, 50]]
    assert largest_confusions(counts, 2) == [(1, 0), (0, 1)]
    assert largest_confusions(counts, 9) == [(1, 0), (0, 1), (1, 2)]
    assert largest_confusions(np.eye(3), 9) == []


@pytest.mark.parametrize("num_classes", [1, 19, MAX_NUMBERED + 1])
def test_confusion_draws_inside_its_figure(num_classes):
    counts = np.random.default_rng(0).integers(0, 100, (num_classes, num_classes))
    counts[0] = 0
    figure = draw_confusion(counts, describe(num_classes, "WWWWWW arcade machine"))
    assert figure_to_image(figure).std() > 0
    axes = figure.axes[0]
    for label in (*axes.get_xticklabels(), *axes.get_yticklabels(), axes.xaxis.label):
        box = label.get_window_extent()
        assert box.x0 >= 0 and box.y0 >= 0
        assert box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1


def test_confusion_prints_percent_of_the_row():
    figure = draw_confusion([[1, 3], [0, 0]], describe(2))
    assert [text.get_text() for text in figure.axes[0].texts] == ["25", "75"]


def test_confusion_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"must be \[3, 3\]"):
        draw_confusion(np.eye(2), describe(3))


def test_gallery_names_its_images():
    figure = draw_images([scored_image(3, "one"), scored_image(3, "two", 1)], describe(3))
    texts = [text.get_text() for text in figure.texts]
    assert "one   mIoU 25.0 %" in texts and "two   mIoU 25.0 %" in texts
