import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path):
    """6 pairs in train and 2 in val, of 3 classes."""
    path = tmp_path / "folder"
    for split, count in (("train", 6), ("val", 2)):
        (path / "images" / split).mkdir(parents=True)
        (path / "masks" / split).mkdir(parents=True)
        for index in range(count):
            rng = np.random.RandomState(index)
            image = Image.fromarray(rng.randint(0, 255, (20, 30 + index, 3), np.uint8))
            image.save(path / "images" / split / f"{index}.jpg")
            mask = Image.fromarray(rng.choice([0, 1, 2, 255], (20, 30 + index)).astype(np.uint8))
            mask.save(path / "masks" / split / f"{index}.png")
    (path / "classes.txt").write_text("sky\nbig road 1 2 3\ncar\n")
    return path
