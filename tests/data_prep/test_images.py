import pytest
from PIL import Image

from data_prep.errors import BadExample
from data_prep.images import read_image


def test_image_of_too_many_pixels_is_a_bad_example(folder, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(BadExample, match="0.jpg: too large .*600 pixels"):
        read_image(str(folder / "images/train/0.jpg"))
