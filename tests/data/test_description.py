import json
import re

import pytest

from adl_tf.data.description import (
    DatasetDescription,
    Shard,
    Split,
    default_colors,
    read_dataset_description,
    write_dataset_description,
)


def make_description():
    split = Split(
        shards=(Shard("train-00000-of-00002.tfrecord", 3, "aa"), Shard("b", 4, "bb")),
        min_size=(10, 20),
        max_size=(30, 20),
        class_pixels=(30, 10),
        ignored_pixels=5,
    )
    return DatasetDescription(
        "toy",
        ("sky", "road"),
        ((1, 2, 3), (4, 5, 6)),
        {"train": split},
        source="nowhere",
        official_ids=(23, 7),
    )


def test_saved_description_loads_equal(tmp_path):
    write_dataset_description(make_description(), tmp_path)
    assert read_dataset_description(tmp_path) == make_description()
    assert json.loads((tmp_path / "dataset.json").read_text())["splits"]["train"]["examples"] == 7
    assert [path.name for path in tmp_path.iterdir()] == ["dataset.json"]


def test_description_without_official_ids_loads(tmp_path):
    write_dataset_description(make_description(), tmp_path)
    content = json.loads((tmp_path / "dataset.json").read_text())
    assert content.pop("official_ids") == [23, 7]
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    assert read_dataset_description(tmp_path).official_ids == ()


@pytest.mark.parametrize("ids", [(1,), (1, 1), (0, 256), (-1, 0)])
def test_official_ids_are_one_different_byte_per_class(ids):
    with pytest.raises(ValueError, match="one different id"):
        DatasetDescription("toy", ("sky", "road"), ((1, 2, 3),) * 2, {}, official_ids=ids)


def test_counts_follow_from_the_parts():
    description = make_description()
    assert description.num_classes == 2
    assert description.splits["train"].examples == 7
    assert description.splits["train"].class_frequencies == (0.75, 0.25)


def test_missing_directory_and_file_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such data set directory"):
        read_dataset_description(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"no dataset\.json there"):
        read_dataset_description(tmp_path)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"splits": {"train": {}}}'])
def test_broken_description_is_one_clear_line(tmp_path, content):
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(ValueError, match="not a data set description") as error:
        read_dataset_description(tmp_path)
    assert "\n" not in str(error.value)


def test_one_color_per_class_is_required():
    with pytest.raises(ValueError, match="one color per class"):
        DatasetDescription("toy", ("sky", "road"), ((1, 2, 3),), {})


def test_default_colors_are_distinct_and_those_of_voc():
    colors = default_colors(255)
    assert len(set(colors)) == 255
    assert colors[:4] == ((0, 0, 0), (128, 0, 0), (0, 128, 0), (128, 128, 0))
    assert colors[20] == (0, 64, 128)


@pytest.mark.parametrize(
    "place, value",
    [
        (("splits", "train", "shards", 0, "examples"), "seven"),
        (("splits", "train", "shards", 0, "file"), 7),
        (("splits", "train", "labelled"), "no"),
        (("splits", "train", "class_pixels"), [1.5]),
        (("splits", "train", "max_size"), [3]),
        (("colors", 0), "x"),
        (("class_names", 0), 5),
    ],
)
def test_a_single_wrong_field_is_named(tmp_path, place, value):
    write_dataset_description(make_description(), tmp_path)
    content = json.loads((tmp_path / "dataset.json").read_text())
    parent = content
    for key in place[:-1]:
        parent = parent[key]
    parent[place[-1]] = value
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    name = re.escape(".".join(map(str, place)))
    with pytest.raises(ValueError, match=rf"not a data set description \({name}"):
        read_dataset_description(tmp_path)
