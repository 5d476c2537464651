"""Files of a model directory."""

import dataclasses
import json
import subprocess
import sys

import pytest

from adl_tf.model_directory import (
    append_json_line,
    read_json_lines,
    read_object,
    read_versioned,
    reserve_model_dir,
)
from adl_tf.space.search_space import SearchSpace


def test_json_lines_survive_a_kill_and_a_repeat(tmp_path):
    path = str(tmp_path / "metrics.jsonl")
    for line in ({"epoch": 1, "loss": 3.0}, {"epoch": 2, "loss": 2.0}, {"epoch": 2, "loss": 1.5}):
        append_json_line(path, line)
    with open(path, "a") as file:
        file.write('{"epoch": 3, "lo')
    lines = read_json_lines(path, "epoch", of=int)
    assert {epoch: line["loss"] for epoch, line in lines.items()} == {
        1: 3.0,
        2: 1.5,
    }
    append_json_line(path, {"epoch": 4, "loss": 1.0})  # Not behind the half line.
    assert read_json_lines(path, "epoch", of=int).keys() == {1, 2, 4}
    assert read_json_lines(str(tmp_path / "missing"), "epoch", of=int) == {}


def test_a_model_directory_keeps_its_space(tmp_path):
    directory = str(tmp_path / "run")
    reserve_model_dir(directory, "space.json", dataclasses.asdict(SearchSpace()), True)
    reserve_model_dir(directory, "space.json", dataclasses.asdict(SearchSpace()), True)
    with pytest.raises(ValueError, match=r"different space.json \(num_layers 12 -> 10\)"):
        reserve_model_dir(
            directory, "space.json", dataclasses.asdict(SearchSpace(num_layers=10)), True
        )


def test_lines_of_something_else_are_named(tmp_path):
    path = tmp_path / "metrics.jsonl"
    for damaged in (b"[1]\n", b'{"loss": 1.0}\n', b'{"epoch": "2"}\n'):
        path.write_bytes(b'{"epoch": 1}\n\x00\xff\n' + damaged)
        with pytest.raises(ValueError, match="metrics.jsonl: line 3 is damaged .* remove it"):
            read_json_lines(str(path), "epoch", of=int)


@pytest.mark.parametrize(
    "content, message",
    [
        ('{"num_layers": 12}', r"written by an older version of adl_tf \(format 1; this one has"),
        (
            '{"format": 3}',
            r"written by another version of adl_tf \(format 3; this one has",
        ),
        ('{"format": 2', "not JSON .* The file is damaged: restore it, or start again in another"),
        ("[]", "list instead of a JSON object. The file is damaged"),
    ],
)
def test_files_of_other_versions_and_damaged_ones_are_named(tmp_path, content, message):
    path = tmp_path / "space.json"
    path.write_text(content)
    for use in (
        lambda: read_versioned(str(path)),
        lambda: reserve_model_dir(str(tmp_path), "space.json", {"num_layers": 12}, True),
    ):
        with pytest.raises(ValueError, match=f"space.json: {message}") as error:
            use()
        assert "\n" not in str(error.value) and "another --model_dir" in str(error.value)


def test_the_version_is_written_and_kept_to_itself(tmp_path):
    reserve_model_dir(str(tmp_path), "space.json", {"ops": ("none", "conv")}, True)
    path = str(tmp_path / "space.json")
    assert json.loads((tmp_path / "space.json").read_text())["format"] == 2
    assert read_versioned(path) == {"ops": ["none", "conv"]}
    assert read_object(path)["format"] == 2


def test_it_needs_no_tensorflow():
    program = "import sys, adl_tf.model_directory; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
