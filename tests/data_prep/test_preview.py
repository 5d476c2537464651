"""Pictures of what was understood: the palette of a mask, its classes and their pixels."""

import numpy as np
import raw_png

from adl_tf.data.description import DatasetDescription
from data_prep.mask_pixels import read
from data_prep.preview import describe_classes, draw

DESCRIPTION = DatasetDescription("x", ("bg", "road"), ((0, 0, 0), (128, 64, 128)), {})
ROWS = np.array([[0, 1, 1], [2, 3, 4]])
LABEL = np.array([[1, 0, 0], [0, 0, 255]], np.uint8)
PALETTE = [(128, 64, 128), (0, 0, 0), (1, 1, 1), (2, 2, 2), (9, 9, 9)]


def mask_of(tmp_path, content):
    (tmp_path / "mask.png").write_bytes(content)
    return read(str(tmp_path / "mask.png"))


def test_lines_say_what_the_pixels_of_a_class_are_in_the_file(tmp_path):
    palette = mask_of(tmp_path, raw_png.encode(ROWS, 4, raw_png.PALETTE, PALETTE))
    assert describe_classes(LABEL, DESCRIPTION, palette) == {
        0: "0 bg: 4 pixels, 1 (0 0 0), 2 (1 1 1), 3 (2 2 2) in its mask",
        1: "1 road: 1 pixels, 0 (128 64 128) in its mask",
        255: "ignored: 1 pixels, 4 (9 9 9) in its mask",
    }
    gray = mask_of(tmp_path, raw_png.encode(ROWS, 4))
    assert describe_classes(LABEL, DESCRIPTION, gray)[1] == "1 road: 1 pixels, 0 in its mask"
    colors = mask_of(tmp_path, raw_png.encode(np.array(PALETTE)[ROWS], 8, raw_png.RGB))
    lines = describe_classes(LABEL, DESCRIPTION, colors)
    assert lines[255] == "ignored: 1 pixels, 9 9 9 in its mask"
    assert describe_classes(LABEL, DESCRIPTION)[0] == "0 bg: 4 pixels"


def test_the_mask_is_shown_as_it_is_in_the_file(tmp_path):
    mask = mask_of(tmp_path, raw_png.encode(ROWS, 4, raw_png.PALETTE, PALETTE))
    picture = draw(np.zeros((2, 3, 3), np.uint8), LABEL, DESCRIPTION, mask)
    scale = picture.shape[1] // 6
    left = picture[: 2 * scale : scale, : 3 * scale : scale]
    np.testing.assert_array_equal(left, np.array(PALETTE)[ROWS])


def test_as_many_classes_as_there_can_be():
    names = tuple(f"c{i}" for i in range(255))
    description = DatasetDescription("x", names, ((1, 2, 3),) * 255, {})
    label = np.arange(256, dtype=np.uint8).reshape(16, 16)[:, 1:]
    assert draw(np.zeros((16, 15, 3), np.uint8), label, description).shape[1] >= 400
