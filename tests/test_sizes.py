import pytest

from adl_tf.sizes import crop_sides, parse_image_size, parse_numbers, parse_sides


def test_crop_sides():
    assert crop_sides(97) == (97, 97) and crop_sides([33, 65]) == (33, 65)
    for wrong in (97.0, "97", (33,), (33, 65.0), 0, None):
        with pytest.raises(ValueError, match="crop size .* is invalid"):
            crop_sides(wrong)


def test_image_size():
    assert parse_image_size(["65", "97"]) == (65, 97)
    for wrong in (["65"], ["65", "97", "3"], ["65", "0"], ["65", "a"]):
        with pytest.raises(ValueError, match="give height,width such as 1025,2049"):
            parse_image_size(wrong)


def test_flags_of_numbers():
    assert parse_sides("stride", ["20"]) == (20, 20)
    assert parse_sides("crop_size", ["33", "40"]) == (33, 40)
    assert parse_numbers("scales", ["0.5", "1"], float) == (0.5, 1.0)
    with pytest.raises(ValueError, match="--stride=1,2,3: give two numbers, or one for both"):
        parse_sides("stride", ["1", "2", "3"])
    with pytest.raises(ValueError, match="--scales=1,x: give comma-separated numbers"):
        parse_numbers("scales", ["1", "x"], float)
