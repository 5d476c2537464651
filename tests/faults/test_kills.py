"""Programs killed at changes that they make to files: nothing is lost.

Each kill is followed by the same command again, which must end as if nothing had happened.
"""

import json
import os
import random
import shutil

import commands
import forked
import numpy as np
import pytest
import tensorflow as tf

from adl_tf.model_directory import read_json_lines
from adl_tf.models.checkpoint_files import newest_checkpoint

# At how many changes a program is killed in the short suite, and in the whole one.
SHORT, WHOLE = 2, 7


def number(config):
    return WHOLE if config.getoption("whole") else SHORT


def values(model_dir):
    """All that a run leaves that must be the same, by name."""
    found = {}
    folders = {
        "state": (model_dir, "ckpt"),
        "best": (os.path.join(model_dir, "best"), "weights"),
        "last": (os.path.join(model_dir, "last"), "weights"),
    }
    for part, (folder, name) in folders.items():
        path = newest_checkpoint(folder, name)
        if path is None:
            continue
        reader = tf.train.load_checkpoint(path)
        for variable in reader.get_variable_to_shape_map():
            if variable.endswith("VARIABLE_VALUE"):
                found[part, variable] = reader.get_tensor(variable)
    for file in ("genotype.json", "network.json"):
        path = os.path.join(model_dir, file)
        if os.path.exists(path):
            with open(path) as stream:
                found[file] = json.load(stream)
    for file, key, of in (("metrics.jsonl", "epoch", int), ("ranking.jsonl", "key", str)):
        for line in read_json_lines(os.path.join(model_dir, file), key, of).values():
            found[file, line[key]] = {k: v for k, v in line.items() if "seconds" not in k}
    return found


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(found[name], value, str(name))
        else:
            assert found[name] == value, name


def kill_somewhere(module, arguments, model_dir, times, check):
    """Kills a program at changes that are drawn, the same each time, runs it again, and checks.

    Returns:
      how often it was killed.
    """
    whole = forked.run(module, arguments(model_dir("whole")))
    assert whole.status == 0, whole.stderr[-3000:]
    expected = check(model_dir("whole"), whole)
    points = random.Random(0).sample(range(len(whole.operations)), times)
    for point in points:
        directory = model_dir(f"killed_{point}")
        killed = forked.run(module, arguments(directory), kill_at=point)
        place = f"killed at {point}: {whole.operations[point]}"
        assert killed.status == -9, f"{place}\n{killed.stderr[-2000:]}"
        again = forked.run(module, arguments(directory))
        assert again.status == 0, f"{place}\n{again.stderr[-3000:]}"
        try:
            assert_same(check(directory, again), expected)
        except AssertionError as error:
            raise AssertionError(place) from error
        names = [name for _, folders, files in os.walk(directory) for name in (*folders, *files)]
        left = [name for name in names if name.endswith((".tmp", "_temp"))]
        assert not left, f"{place}: {left}"
        shutil.rmtree(directory)
    return len(points)


def contents(directory):
    """The bytes of all files of a directory, by their paths in it."""
    found = {}
    for folder, _, names in os.walk(directory):
        for name in names:
            if name != ".lock":
                path = os.path.join(folder, name)
                with open(path, "rb") as stream:
                    found[os.path.relpath(path, directory)] = stream.read()
    return found


@pytest.mark.sampled
@pytest.mark.parametrize(
    "module, command",
    [
        ("adl_tf.train", commands.train),
        pytest.param("adl_tf.train", commands.cached_train, marks=pytest.mark.whole),
        pytest.param("adl_tf.search", commands.search, marks=pytest.mark.whole),
        pytest.param("adl_tf.search", commands.random_search, marks=pytest.mark.whole),
    ],
)
def test_runs_end_with_the_same_bits(module, command, streets, tmp_path, request, count):
    def result(directory, outcome):
        summary = {k: v for k, v in outcome.result.items() if k not in ("seconds", "model_dir")}
        summary.pop("genotype", None)
        return {**values(directory), "summary": summary}

    points = kill_somewhere(
        module,
        lambda directory: command(streets, directory),
        lambda name: str(tmp_path / name),
        number(request.config),
        result,
    )
    count("kill points", points)


@pytest.mark.whole
def test_conversions_end_with_the_same_bytes(tmp_path, request, count):
    points = kill_somewhere(
        "data_prep.convert_synthetic",
        lambda directory: [
            f"--output_dir={directory}",
            "--num_train=3",
            "--num_val=2",
            "--height=32",
            "--width=48",
            "--num_workers=1",
        ],
        lambda name: str(tmp_path / name),
        number(request.config),
        lambda directory, outcome: contents(directory),
    )
    count("kill points", points)


@pytest.mark.whole
def test_evaluations_end_with_the_same_files(trained, tmp_path, request, count):
    def result(directory, outcome):
        with open(os.path.join(directory, "evaluation.json")) as file:
            scores = {name: value for name, value in json.load(file).items() if name != "seconds"}
        return {"files": sorted(contents(directory)), **scores}

    points = kill_somewhere(
        "adl_tf.evaluate",
        lambda directory: [*commands.evaluate(trained), f"--output_dir={directory}"],
        lambda name: str(tmp_path / name),
        number(request.config),
        result,
    )
    count("kill points", points)


@pytest.mark.sampled
def test_exports_are_whole_or_not_there(trained, tmp_path, request, count):
    def result(directory, outcome):
        assert all(name.isdigit() for name in os.listdir(directory))
        kept = ("signatures", "batch_norms", "logit_difference", "labels_equal")
        files = sorted({path.split(os.sep, 1)[1] for path in contents(directory)})
        return {**{name: outcome.result[name] for name in kept}, "files": files}

    points = kill_somewhere(
        "adl_tf.export",
        lambda directory: [f"--model_dir={trained}", f"--output_dir={directory}"],
        lambda name: str(tmp_path / name),
        number(request.config),
        result,
    )
    count("kill points", points)


@pytest.mark.whole
def test_whole_runs_go_on(photos, tmp_path, request, count):
    def result(directory, outcome):
        with open(os.path.join(directory, "auto.json")) as file:
            state = json.load(file)
        stages = list(state["stages"])
        return {"files": sorted(contents(directory)), "stages": stages, "plan": state["plan"]}

    points = kill_somewhere(
        "quick_auto",
        lambda directory: commands.auto(photos, directory),
        lambda name: str(tmp_path / name),
        number(request.config),
        result,
    )
    count("kill points", points)
