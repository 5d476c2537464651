"""Files of a model directory."""

import dataclasses

import pytest

from adl_tf.search import _segments
from adl_tf.space.search_space import SearchSpace
from adl_tf.training.run_state import append_json_line, claim_model_dir, read_json_lines


def test_json_lines_survive_a_kill_and_a_repeat(tmp_path):
    path = str(tmp_path / "metrics.jsonl")
    for line in ({"epoch": 1, "loss": 3.0}, {"epoch": 2, "loss": 2.0}, {"epoch": 2, "loss": 1.5}):
        append_json_line(path, line)
    with open(path, "a") as file:
        file.write('{"epoch": 3, "lo')
    assert {epoch: line["loss"] for epoch, line in read_json_lines(path, "epoch").items()} == {
        1: 3.0,
        2: 1.5,
    }
    append_json_line(path, {"epoch": 4, "loss": 1.0})  # Not behind the half line.
    assert read_json_lines(path, "epoch").keys() == {1, 2, 4}
    assert read_json_lines(str(tmp_path / "missing"), "epoch") == {}


def test_a_model_directory_keeps_its_space(tmp_path):
    directory = str(tmp_path / "run")
    claim_model_dir(directory, "space.json", dataclasses.asdict(SearchSpace()))
    claim_model_dir(directory, "space.json", dataclasses.asdict(SearchSpace()))
    with pytest.raises(ValueError, match=r"another space.json \(num_layers 12 -> 10\)"):
        claim_model_dir(directory, "space.json", dataclasses.asdict(SearchSpace(num_layers=10)))


@pytest.mark.parametrize(
    "done, expected",
    [
        ((0, 0), [(0, 20, 100, False), (20, 40, 100, True)]),
        ((3, 0), [(3, 20, 100, False), (20, 40, 100, True)]),
        ((3, 10), [(3, 4, 90, False), (4, 20, 100, False), (20, 40, 100, True)]),
        ((19, 99), [(19, 20, 1, False), (20, 40, 100, True)]),
        ((25, 1), [(25, 26, 99, True), (26, 40, 100, True)]),
        ((39, 50), [(39, 40, 50, True)]),
        ((40, 0), []),
    ],
)
def test_what_is_left_of_a_run(done, expected):
    assert _segments(*done, epochs=40, steps=100, arch_start_epoch=20) == expected
