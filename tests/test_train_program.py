"""The training program as real processes: run, kill, resume, start from another run."""

import inspect
import json
import os
import signal

import numpy as np
import pytest
from processes import run, start_and_signal, tensors

from adl_tf.model_directory import SCHEDULE_FILE, reserve_model_dir
from adl_tf.models.registry import (
    NetworkDescription,
    read_network_description,
    write_network_description,
)
from adl_tf.models.weights import load_network
from adl_tf.runs.data import RunData
from adl_tf.runs.network import RunNetwork
from adl_tf.runs.training_run import run_training
from adl_tf.space.genotype import Genotype
from data_prep import convert_synthetic

STEPS = 50
GENOTYPE = {"path": [0, 1], "cell": [[[0, "sep_conv_3x3"], [1, "atrous_conv_3x3"]]]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A data set, a genotype, and a second data set with other classes."""
    directory = tmp_path_factory.mktemp("training")
    convert_synthetic.build(
        str(directory / "streets"), num_train=12, num_val=2, height=48, width=64
    )
    (directory / "genotype.json").write_text(json.dumps(GENOTYPE))
    return directory


def command(folder, model_dir, *parameters, flags=()):
    bindings = (
        f"DATASET_DIR = '{folder / 'streets'}'",
        "CROP_SIZE = 33",
        "BATCH_SIZE = 2",
        f"STEPS = {STEPS}",
        "FILTER_MULTIPLIER = 2",
        "RunData.deterministic = True",
        "run_training.validate_every = 20",
        "run_training.checkpoint_steps = 3",
        "training_optimizer.average_decay = 0.9",
        "DropPathSchedule.final_keep = 0.5",
        *parameters,
    )
    return [
        *("-m", "adl_tf.train", "--gin_file=train.gin", f"--model_dir={model_dir}"),
        *(f"--gin_param={binding}" for binding in bindings),
        *(flags or [f"--genotype={folder / 'genotype.json'}"]),
    ]


@pytest.mark.whole
def test_resumes_bit_for_bit_after_being_killed(folder, tmp_path):
    whole, broken = str(tmp_path / "whole"), str(tmp_path / "broken")
    result = run(command(folder, whole), tmp_path)
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout.splitlines()[-1])
    assert summary["steps"] == STEPS
    assert 0 <= summary["val_miou"] <= summary["best_val_miou"] <= 1
    for name in ("best", "last"):
        network = load_network(whole, name)
    assert network.num_classes == read_network_description(whole).num_classes
    with open(os.path.join(whole, "operative_config.gin")) as file:
        config = file.read()
    assert "DropPathSchedule.final_keep = 0.5" in config and "train_stream.max_scale" in config
    assert any(name.startswith("events.out.tfevents") for name in os.listdir(whole))
    with open(os.path.join(whole, "metrics.jsonl")) as file:
        lines = [json.loads(line) for line in file]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert lines[-1]["learning_rate"] == 0

    arguments = command(folder, broken)
    status, _ = start_and_signal(arguments, tmp_path, broken, 26, signal.SIGKILL)
    assert status == -signal.SIGKILL
    result = run(arguments, tmp_path)
    assert result.returncode == 0, result.stderr
    assert "Resuming in" in result.stderr
    resumed = json.loads(result.stdout.splitlines()[-1])
    assert resumed["val_miou"] == summary["val_miou"]
    assert resumed["best_val_miou"] == summary["best_val_miou"]
    expected, found = tensors(whole), tensors(broken)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(value, found[name], err_msg=name)

    check_start_from(folder, whole, str(tmp_path / "fine"), tmp_path)


def check_start_from(folder, coarse, fine, cwd):
    """A run of no more than a step from another run has that run's weights."""
    flags = [f"--genotype={folder / 'genotype.json'}", f"--init_from={coarse}"]
    quiet = (
        "STEPS = 1",
        "training_optimizer.initial_rate = 0.0",
        "TrainingModel.weight_decay = 0.0",
    )
    result = run(command(folder, fine, *quiet, flags=flags), cwd)
    assert result.returncode == 0, result.stderr
    source, target = load_network(coarse), load_network(fine)
    for a, b in zip(source.trainable_variables, target.trainable_variables):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.name)


TWO_DEVICES = """
import sys, tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
import runpy
sys.argv[0] = "train"
runpy.run_module("adl_tf.train", run_name="__main__", alter_sys=True)
"""


@pytest.mark.whole
def test_two_devices_share_a_run(folder, tmp_path):
    """With averaged weights, parts of batches and class weights as well."""
    parameters = (
        "distribution_strategy.devices = ['CPU:0', 'CPU:1']",
        "RunData.deterministic = False",
        "run_training.class_balanced_loss = True",
        "TrainingModel.accumulation_steps = 2",
        "BATCH_SIZE = 4",
        "STEPS = 3",
        "run_training.validate_every = 2",
    )
    _, _, *flags = command(folder, tmp_path / "run", *parameters)
    result = run(["-c", TWO_DEVICES, *flags], tmp_path)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1])["steps"] == 3
    assert load_network(str(tmp_path / "run"), "last").num_classes == 8


def small_run(folder, model_dir, **changes):
    """Trains for one step; the changes are arguments of `run_training` and what it is given."""
    values = {
        "genotype": str(folder / "genotype.json"),
        "dataset_dir": str(folder / "streets"),
        "crop_size": 33,
        "batch_size": 2,
        "steps": 1,
        "filter_multiplier": 2,
        **changes,
    }

    def take(function):
        names = inspect.signature(function).parameters
        return {name: values.pop(name) for name in list(values) if name in names}

    data, network = RunData(**take(RunData)), RunNetwork(**take(RunNetwork))
    return run_training(str(model_dir), data, network, **values)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"genotype": "nowhere.json"}, "neither a file nor a preset (auto_deeplab)"),
        ({"genotype": None}, "a decoded network needs a genotype"),
        ({"network": "unet"}, "network 'unet' is unknown; choose from"),
        ({"precision": "int8"}, "precision 'int8': choose from"),
        ({"batch_size": 0}, "batch_size = 0: input should be greater"),
        ({"steps": 0}, "steps = 0: input should be greater"),
        ({"checkpoint_steps": 0}, "checkpoint_steps = 0: input should be greater"),
        ({"crop_size": "33"}, "crop_size = '33': input should be"),
        ({"batch_size": 100}, "do not fill a batch of 100; lower BATCH_SIZE"),
        ({"dataset_dir": "/no/such/folder"}, "/no/such/folder: no such data set directory"),
        ({"train_split": "trainaug"}, "no split 'trainaug'"),
        ({"num_classes": 3}, "num_classes=3, but the data set has 8 classes"),
        ({"init_from": "/no/such/run"}, "no network.json there"),
    ],
)
def test_bad_input(folder, tmp_path, changes, message):
    model_dir = tmp_path / "run"
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        small_run(folder, model_dir, **changes)
    assert message in str(error.value)
    assert not model_dir.exists()


def test_illegal_genotypes_and_other_runs_are_one_line_of_the_program(folder, tmp_path):
    """An illegal move, and a directory that holds a run of another network."""
    illegal = tmp_path / "illegal.json"
    illegal.write_text(json.dumps({**GENOTYPE, "path": [0, 2]}))
    result = run(command(folder, tmp_path / "run", flags=[f"--genotype={illegal}"]), tmp_path)
    assert result.returncode == 1 and not result.stdout.strip()
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "illegal.json" in line and "illegal move from level 0 to 2" in line
    assert "Traceback" not in result.stderr
    other = tmp_path / "other"
    reserve_model_dir(
        str(other),
        SCHEDULE_FILE,
        {"seed": 0, "batch_size": 4, "steps_per_epoch": 1, "examples": 12},
        begun=False,
    )
    for begun in (other, tmp_path):  # Otherwise there is nothing to lose.
        (begun / "metrics.jsonl").write_text("")
    with pytest.raises(ValueError, match=r"different schedule.json \(batch_size 4 -> 2\)"):
        small_run(folder, other)
    write_network_description(
        NetworkDescription("decoded", 8, Genotype(**GENOTYPE), filter_multiplier=4), str(tmp_path)
    )
    with pytest.raises(ValueError, match=r"different network.json \(filter_multiplier 4 -> 2\)"):
        small_run(folder, tmp_path)
