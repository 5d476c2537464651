"""The legend below a picture of a prediction."""

import numpy as np

from adl_tf.data.description import DatasetDescription
from adl_tf.visualization.predictions import add_legend

COLORS = ((200, 10, 20), (10, 200, 20), (10, 20, 200))


def test_it_shows_the_classes_of_the_picture_and_no_others():
    description = DatasetDescription("x", ("Straße", "$b$", "c"), COLORS, {})
    labels = np.zeros((30, 90), np.uint8)
    labels[:, 40:] = 2
    labels[0, 0] = 255
    picture = add_legend(np.full((30, 90, 3), 128, np.uint8), labels, description)
    np.testing.assert_array_equal(picture[:30], 128)
    below = {tuple(pixel) for pixel in picture[30:].reshape(-1, 3)}
    assert COLORS[0] in below and COLORS[2] in below and COLORS[1] not in below


def test_narrow_pictures_get_more_rows():
    description = DatasetDescription("x", ("first", "second", "third"), COLORS, {})
    heights = [
        add_legend(
            np.zeros((6, width, 3), np.uint8),
            np.arange(6)[:, None] % 3 + np.zeros(width, int),
            description,
        ).shape
        for width in (60, 400)
    ]
    assert heights[0][0] > heights[1][0] and heights[0][1] == 60
