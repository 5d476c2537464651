"""Runs of two workers, as processes of this machine: equal to one machine, and stopped together."""

import json
import os
import pathlib
import re
import shlex
import signal

import numpy as np
import pytest
from processes import tensors
from workers import wait_for

from adl_tf.model_directory import read_json_lines
from adl_tf.models.checkpoint_files import checkpoint_number, list_checkpoints
from adl_tf.models.registry import NetworkDescription, build_network, write_network_description
from adl_tf.models.weights import save_weights
from adl_tf.planning.config_files import search_config
from adl_tf.planning.fingerprint import take_fingerprint
from adl_tf.planning.plan import SearchSteps
from adl_tf.planning.settings import choose_settings
from adl_tf.space.genotype import Genotype

SPACE = (
    "NUM_LAYERS = 2",
    "NUM_BLOCKS = 1",
    "FILTER_MULTIPLIER = 2",
    "SearchSpace.num_levels = 2",
    "SearchSpace.ops = ('none', 'skip_connect', 'max_pool_3x3')",
    "NetworkSizes.stem = (4, 4, 4)",
)
STEPS = 12  # Of an epoch; the second epoch's alternate.
# One process with two devices, for comparison.
TWO_DEVICES = """
import sys, tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
import runpy
sys.argv[0] = "search"
runpy.run_module("adl_tf.search", run_name="__main__", alter_sys=True)
"""


def search(streets, model_dir, *bindings):
    own = (
        f"DATASET_DIR = {streets!r}",
        "CROP_SIZE = 33",
        "BATCH_SIZE = 4",
        "EPOCHS = 3",
        "ARCH_START_EPOCH = 1",
        "RunData.deterministic = True",
        f"run_gradient_search.steps_per_epoch = {STEPS}",
        "run_gradient_search.checkpoint_steps = 1",
        "distribution_strategy.kind = 'multi_worker'",
        *SPACE,
        *bindings,
    )
    flags = [f"--gin_param={binding}" for binding in own]
    return ["--gin_file=camvid_search.gin", f"--model_dir={model_dir}", *flags]


def search_workers(*arguments):
    return ["-m", "adl_tf.search", *search(*arguments)]


def values_of(model_dir):
    """Alpha and beta after each epoch, losses and scores."""
    lines = read_json_lines(os.path.join(model_dir, "architecture.jsonl"), "epoch", int)
    values = {(epoch, key): np.array(line[key]) for epoch, line in lines.items() for key in line}
    metrics = read_json_lines(os.path.join(model_dir, "metrics.jsonl"), "epoch", int)
    for epoch, line in metrics.items():
        for key in ("loss", "arch_loss", "miou", "val_loss", "val_miou"):
            if key in line:
                values[epoch, key] = np.array(line[key])
    return values


@pytest.fixture(scope="module")
def whole(streets, tmp_path_factory, start_workers):
    """The model directory of a search of two workers that nothing disturbed."""
    model_dir = str(tmp_path_factory.mktemp("whole"))
    for status, _, errors in [w.end() for w in start_workers(search_workers(streets, model_dir))]:
        assert status == 0, errors[-3000:]
    return model_dir


@pytest.mark.whole
def test_two_workers_do_what_two_devices_do(streets, tmp_path, whole, start_workers):
    """Over 24 alternating steps, in which alpha moves by over 100 times what may differ."""
    other = str(tmp_path / "devices")
    devices = "distribution_strategy.devices = ['CPU:0', 'CPU:1']"
    arguments = search(streets, other, "distribution_strategy.kind = 'mirrored'", devices)
    ((status, _, errors),) = [
        worker.end() for worker in start_workers(["-c", TWO_DEVICES, *arguments], indices=(0,))
    ]
    assert status == 0, errors[-3000:]
    found, expected = values_of(whole), values_of(other)
    assert found.keys() == expected.keys() and (3, "val_miou") in found
    for key, values in expected.items():
        np.testing.assert_allclose(found[key], values, rtol=1e-5, atol=1e-5, err_msg=str(key))
    moved = np.abs(expected[3, "alpha"] - expected[0, "alpha"]).max()
    assert moved > 100 * 1e-5, moved
    # Only the chief wrote, and all that a search leaves.
    assert {"genotype.json", "alpha.png", "space.json"} <= set(os.listdir(whole))


@pytest.mark.whole
def test_a_killed_worker_ends_the_other_and_nothing_is_lost(
    streets, tmp_path, whole, start_workers
):
    for victim in (1, 0):
        model_dir = str(tmp_path / f"killed{victim}")
        workers = start_workers(search_workers(streets, model_dir))
        wait_for(lambda: _saved(model_dir) >= STEPS + 3, workers)  # noqa: B023
        workers[victim].signal(signal.SIGKILL)
        status, _, errors = workers[1 - victim].end()
        assert status == 1, errors[-3000:]
        (line,) = [line for line in errors.splitlines() if "error: " in line]
        assert f"worker {victim} (127.0.0.1:" in line and "is gone" in line
        assert "Traceback" not in errors
        assert _saved(model_dir) < 3 * STEPS
        for status, _, errors in [
            w.end() for w in start_workers(search_workers(streets, model_dir))
        ]:
            assert status == 0, errors[-3000:]
        _assert_equal(model_dir, whole)


@pytest.mark.whole
@pytest.mark.parametrize("stopped", [(0, 1), (1,)], ids=["all", "one"])
def test_workers_save_the_same_step_when_they_are_stopped(
    streets, tmp_path, whole, start_workers, stopped
):
    model_dir = str(tmp_path / "stopped")
    seldom = "run_gradient_search.checkpoint_steps = 5"
    workers = start_workers(search_workers(streets, model_dir, seldom))
    wait_for(lambda: _saved(model_dir) >= STEPS + 5, workers)
    for index in stopped:
        workers[index].signal(signal.SIGTERM)
    for status, _, errors in [worker.end() for worker in workers]:
        assert status == 130 and "interrupted." in errors, errors[-3000:]
    assert STEPS + 5 <= _saved(model_dir) < 3 * STEPS
    for status, _, errors in [w.end() for w in start_workers(search_workers(streets, model_dir))]:
        assert status == 0, errors[-3000:]
    _assert_equal(model_dir, whole)


def test_a_worker_that_does_not_come_is_named(streets, tmp_path, start_workers):
    (worker,) = start_workers(search_workers(streets, str(tmp_path / "run")), indices=(0,))
    line = ""
    while "Waiting for worker 1 (127.0.0.1:" not in line:
        line = worker.read_error()
        assert line, "it ended"


def documented(kind):
    """The flags of the search that docs/distribution.md starts on several devices of this kind."""
    page = pathlib.Path(__file__).parents[2] / "docs" / "distribution.md"
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    commands = re.findall(r"python -m adl_tf\.search (--gin_file=[^\n&;]*)", text)
    flags = [[f for f in shlex.split(c) if "--model_dir" not in f] for c in commands]
    return next(f for f in flags if any(kind in flag for flag in f) == (kind == "multi_worker"))


@pytest.mark.whole
def test_the_documented_commands_search_and_try_what_they_propose(streets, tmp_path, start_workers):
    """To its end with two workers as with two devices: both arms, the same losses and winner."""
    tiny = (
        f"DATASET_DIR = {streets!r}",
        "CROP_SIZE = 33",
        "EPOCHS = 2",
        "ARCH_START_EPOCH = 1",
        *SPACE,
        "run_gradient_search.steps_per_epoch = 2",
        "run_gradient_search.budget = None",
        "PROPOSALS = 2",
        "STEPS = 4",
        "Trials.rungs = 2",
        "RunData.deterministic = True",
    )
    # This machine has no GPUs, which the command for one machine takes by itself.
    devices = ("distribution_strategy.devices = ['CPU:0', 'CPU:1']",)
    results = {}
    for kind, indices, own in (("mirrored", (0,), devices), ("multi_worker", (0, 1), ())):
        flags = [*documented(kind), *(f"--gin_param={b}" for b in (*tiny, *own))]
        arguments = [*flags, f"--model_dir={tmp_path / kind}"]
        program = ["-c", TWO_DEVICES] if kind == "mirrored" else ["-m", "adl_tf.search"]
        ends = [worker.end() for worker in start_workers([*program, *arguments], indices)]
        for status, _, errors in ends:
            assert status == 0, errors[-3000:]
        results[kind] = json.loads(ends[0][1].splitlines()[-1])
        assert not os.path.exists(tmp_path / kind / "candidates")
    one, other = results["mirrored"], results["multi_worker"]
    for arm in ("searched", "random"):
        np.testing.assert_allclose(one["proposals"][arm], other["proposals"][arm], rtol=1e-4)
    assert (one["path"], one["cell"], one["arm"]) == (other["path"], other["cell"], other["arm"])
    # The same commands resume behind the last step, where no worker writes a checkpoint.
    again = [worker.end() for worker in start_workers([*program, *arguments])]
    for status, output, errors in again:
        assert status == 0, errors[-3000:]
        assert json.loads(output.splitlines()[-1])["proposals"] == other["proposals"]


@pytest.mark.whole
def test_the_search_that_auto_plans_runs_on_two_devices(streets, tmp_path, start_workers):
    data = take_fingerprint(streets)
    settings = choose_settings(data, None, gpus=2)
    assert settings.batch_size % 2 == 0 and settings.distribution is None
    config = tmp_path / "search.gin"
    config.write_text(search_config(settings, streets, SearchSteps(33, 2, 2, 6, 5)))
    # This machine has no GPUs, which the search would take by itself.
    own = (*SPACE, "distribution_strategy.devices = ['CPU:0', 'CPU:1']")
    flags = [f"--gin_param={binding}" for binding in own]
    arguments = [f"--gin_file={config}", f"--model_dir={tmp_path / 'search'}", *flags]
    (worker,) = start_workers(["-c", TWO_DEVICES, *arguments], indices=(0,))
    status, output, errors = worker.end()
    assert status == 0, errors[-3000:]
    proposals = json.loads(output.splitlines()[-1])["proposals"]
    assert len(proposals["searched"]) == len(proposals["random"]) == 2


def test_evaluation_over_two_workers_equals_one(streets, tmp_path, start_workers):
    """With devices of one process as well; the last images are fewer than there are replicas."""
    model_dir = str(tmp_path / "trained")
    genotype = Genotype(path=(0,), cell=(((0, "skip_connect"), (1, "sep_conv_3x3")),))
    description = NetworkDescription("decoded", 8, genotype, 2)
    os.makedirs(model_dir)
    write_network_description(description, model_dir)
    save_weights(build_network(description), model_dir, "best")
    results = {}
    for kind, indices in (("single", (0,)), ("mirrored", (0,)), ("multi_worker", (0, 1))):
        binding = f"distribution_strategy.kind = {kind!r}"
        bindings = [f"--gin_param={binding}"]
        if kind == "mirrored":
            bindings.append("--gin_param=distribution_strategy.devices = ['CPU:0', 'CPU:1']")
        flags = [f"--model_dir={model_dir}", f"--dataset_dir={streets}", *bindings]
        flags.append(f"--output_dir={tmp_path / kind}")
        program = ["-c", TWO_DEVICES.replace("search", "evaluate"), *flags]
        for status, _, errors in [w.end() for w in start_workers(program, indices)]:
            assert status == 0, errors[-3000:]
        with open(tmp_path / kind / "evaluation.json") as file:
            results[kind] = json.load(file)
        assert os.path.exists(tmp_path / kind / "worst.png")
    keys = ("miou", "confusion_matrix", "image_miou", "images")
    single = {key: results["single"][key] for key in keys}
    assert single["images"] == 5
    for kind in ("mirrored", "multi_worker"):
        assert {key: results[kind][key] for key in keys} == single


def _saved(model_dir):
    """Steps of the newest checkpoint."""
    paths = list_checkpoints(model_dir) if os.path.isdir(model_dir) else []
    return checkpoint_number(paths[0]) if paths else 0


def _assert_equal(model_dir, whole):
    found, expected = tensors(model_dir), tensors(whole)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
    for file in ("genotype.json", "architecture.jsonl"):
        texts = [_content(os.path.join(d, file)) for d in (model_dir, whole)]
        assert texts[0] == texts[1], file


def _content(path):
    if path.endswith("jsonl"):
        return read_json_lines(path, "epoch", int)
    with open(path) as file:
        return json.load(file)
