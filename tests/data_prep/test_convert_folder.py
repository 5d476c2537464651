import numpy as np
import pytest
from PIL import Image
from readback import labels_by_name

from data_prep import convert_folder
from data_prep.errors import ConversionError
from data_prep.run import run_conversion


def make_folder(path, count=10, classes="sky\nroad\n"):
    for part in ("images", "masks"):
        (path / part).mkdir(parents=True)
    for index in range(count):
        Image.new("RGB", (7, 5), (index, 0, 0)).save(path / "images" / f"{index}.JPG")
        Image.new("L", (7, 5), index % 2).save(path / "masks" / f"{index}.png")
    (path / "classes.txt").write_text(classes)
    return str(path)


def test_seeded_fraction(tmp_path):
    folder = make_folder(tmp_path / "in")

    def val(**options):
        plan = convert_folder.plan(folder, **options)
        names = [{item.name for item in plan.splits[split]} for split in ("train", "val")]
        assert names[0] | names[1] == set("0123456789") and not names[0] & names[1]
        return names[1]

    assert len(val(val_fraction=0.3)) == 3
    assert val(seed=1) == val(seed=1)
    assert len({frozenset(val(seed=seed)) for seed in range(10)}) > 1


def test_label_maps(tmp_path):
    folder = make_folder(tmp_path / "in")
    palette = Image.fromarray(np.array([[0, 1, 255]] * 4, np.uint8), "P")
    palette.putpalette([9, 9, 9, 200, 100, 50] + [0] * 762)
    palette.save(tmp_path / "in/masks/4.png")
    Image.new("RGB", (3, 4)).save(tmp_path / "in/images/4.JPG")
    run_conversion(convert_folder.plan(folder), str(tmp_path / "out"))
    labels = {
        **labels_by_name(tmp_path / "out", "train"),
        **labels_by_name(tmp_path / "out", "val"),
    }
    np.testing.assert_array_equal(labels.pop("4"), [[0, 1, 255]] * 4)
    for name, label in labels.items():
        np.testing.assert_array_equal(label, np.full((5, 7), int(name) % 2))


@pytest.mark.parametrize(
    "classes, message",
    [("", "0 classes; give 1 to 255"), ("sky 1 2 300", "a color has three values in 0..255")],
)
def test_invalid_classes_are_named(tmp_path, classes, message):
    folder = make_folder(tmp_path / "in", classes=classes)
    with pytest.raises(ConversionError, match=message):
        convert_folder.plan(folder)


def test_whole_set_as_val_leaves_no_train(tmp_path):
    plan = convert_folder.plan(make_folder(tmp_path / "in"), val_fraction=1.0)
    with pytest.raises(ConversionError, match="split 'train' has no examples"):
        run_conversion(plan, str(tmp_path / "out"))
