"""The search program as real processes: run, stop, kill, resume, bad input."""

import json
import os
import signal

import forked
import numpy as np
import pytest
from PIL import Image
from processes import run, start_and_signal, tensors

from adl_tf.model_directory import read_json_lines
from adl_tf.space.costs import network_cost
from adl_tf.space.genotype import load_genotype, load_network_size
from data_prep import convert_synthetic

EPOCHS, STEPS = 2, 40
PROGRAM = ("-m", "adl_tf.search")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    directory = str(tmp_path_factory.mktemp("streets"))
    convert_synthetic.build(directory, num_train=12, num_val=2, height=48, width=64)
    return directory


def command(dataset, model_dir, *parameters):
    bindings = (
        f"DATASET_DIR = '{dataset}'",
        "CROP_SIZE = 33",
        f"EPOCHS = {EPOCHS}",
        "ARCH_START_EPOCH = 1",
        "NUM_LAYERS = 2",
        "NUM_BLOCKS = 1",
        "BATCH_SIZE = 2",
        # One of each kind: larger kernels would only take longer to trace.
        "SearchSpace.ops = ('none', 'skip_connect', 'max_pool_3x3', 'sep_conv_3x3', "
        "'atrous_conv_3x3')",
        "RunData.deterministic = True",
        f"run_gradient_search.steps_per_epoch = {STEPS}",
        "run_gradient_search.checkpoint_steps = 3",
        *parameters,
    )
    return [
        "--gin_file=camvid_search.gin",
        f"--model_dir={model_dir}",
        *(f"--gin_param={binding}" for binding in bindings),
    ]


@pytest.mark.whole
def test_resumes_bit_for_bit_after_being_stopped_and_killed(dataset, tmp_path):
    whole, broken = str(tmp_path / "whole"), str(tmp_path / "broken")
    result = run([*PROGRAM, *command(dataset, whole)], tmp_path)
    assert result.returncode == 0, result.stderr
    summary = json.loads(result.stdout.splitlines()[-1])
    assert summary["weight_steps"] == EPOCHS * STEPS
    assert summary["arch_steps"] == STEPS
    assert 0 <= summary["val_miou"] <= 1
    genotype = load_genotype(summary["genotype"])
    assert len(genotype.path) == 2 and len(genotype.cell) == 1
    for picture in ("architecture.png", "alpha_history.png", "beta_history.png"):
        assert min(Image.open(os.path.join(whole, picture)).size) > 100
    with open(os.path.join(whole, "operative_config.gin")) as file:
        assert "train_stream.max_scale" in file.read()
    assert any(name.startswith("events.out.tfevents") for name in os.listdir(whole))
    assert "path 4-" in result.stderr and "arch_loss" in result.stderr

    result = forked.run("adl_tf.search", command(dataset, whole, "SEED = 1"))
    assert result.status == 1 and "different schedule.json (seed 0 -> 1)" in result.stderr

    output = str(tmp_path / "decoded" / "genotype.json")
    decode = ["--output", output, "--model_dir"]
    result = forked.run("adl_tf.decode", [*decode, whole])
    decoded = result.result
    assert 0 < decoded["probability"] <= 1
    assert load_genotype(output) == genotype
    assert [decoded["path"], decoded["cell"]] == [*genotype.to_dict().values()]
    result = forked.run("adl_tf.decode", [*decode, str(tmp_path / "nowhere")])
    assert result.status == 1 and "no search there" in result.stderr

    arguments = [*PROGRAM, *command(dataset, broken)]
    status, errors = start_and_signal(arguments, tmp_path, broken, 3, signal.SIGINT)
    assert status == 130 and "resumes from here" in errors
    status, _ = start_and_signal(arguments, tmp_path, broken, STEPS + 6, signal.SIGKILL)
    assert status == -signal.SIGKILL
    assert not os.path.exists(os.path.join(broken, "genotype.json"))
    result = run(arguments, tmp_path)
    assert result.returncode == 0, result.stderr
    assert "Resuming in" in result.stderr
    resumed = json.loads(result.stdout.splitlines()[-1])
    assert resumed["weight_steps"] == EPOCHS * STEPS
    assert resumed["val_miou"] == summary["val_miou"]

    expected, found = tensors(whole), tensors(broken)
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(value, found[name], err_msg=name)


@pytest.mark.parametrize(
    "parameters, message",
    [
        (["run_gradient_search.no_such_parameter = 1"], "no_such_parameter"),
        (["DATASET_DIR = '/no/such/folder'"], "/no/such/folder: no such data set directory"),
        (["BATCH_SIZE = 100", "run_gradient_search.steps_per_epoch = None"], "lower BATCH_SIZE"),
        (["SearchSpace.ops = ['conv_9x9']"], "unknown ops"),
        (["BATCH_SIZE = 0"], "batch_size = 0: input should be greater"),
        (["RunData.val_split = 'dev'"], "no split 'dev'"),
        (["run_gradient_search.precision = 'int8'"], "precision 'int8': choose from"),
    ],
)
def test_bad_input_is_one_line(dataset, tmp_path, parameters, message):
    model_dir = tmp_path / "run"
    result = forked.run("adl_tf.search", command(dataset, model_dir, *parameters))
    assert result.status == 1
    assert result.stdout.strip() == ""
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert message in line
    assert "Traceback" not in result.stderr
    assert not model_dir.exists()


def test_what_a_search_proposes_is_tried_beside_random_networks(dataset, tmp_path):
    """Both arms fill one budget; the best is the result, and the JSON line compares the arms."""
    bindings = (
        "EPOCHS = 1",
        "ARCH_START_EPOCH = 0",
        "SearchSpace.ops = ('none', 'skip_connect', 'max_pool_3x3')",
        "SearchSpace.num_levels = 2",
        "run_gradient_search.steps_per_epoch = 2",
        "run_gradient_search.trials = @Trials",
        "run_gradient_search.proposals = 2",
        "run_gradient_search.budget = @Budget",
        "Trials.steps = 4",
        "Trials.rungs = 2",
        "Trials.share = 0.5",
        "Budget.image_size = (48, 64)",
        "Budget.filter_multiplier = 4",
        "Budget.multi_adds = 0.03",
        "NetworkSizes.stem = (4, 4, 8)",
        "NetworkSizes.aspp = 8",
        "NetworkSizes.low_level = 4",
        "NetworkSizes.decoder = 8",
    )
    model_dir = str(tmp_path / "run")
    result = forked.run("adl_tf.search", command(dataset, model_dir, *bindings))
    assert result.status == 0, result.stderr
    found = result.result
    proposals = found["proposals"]
    assert len(proposals["searched"]) == len(proposals["random"]) == 2
    assert 0 <= proposals["p_value"] <= 1
    assert "the search's proposals are " in result.stderr
    assert found["weight_steps"] == found["arch_steps"] == 2
    lines = read_json_lines(os.path.join(model_dir, "ranking.jsonl"), key="key")
    # All reach the first rung, half of them the second.
    assert [line["arm"] for line in lines.values()][:4] == [*["searched"] * 2, *["random"] * 2]
    assert len(lines) == 6
    finished = [line for key, line in lines.items() if key.endswith("/1")]
    best = min(finished, key=lambda line: line["loss"])
    assert load_genotype(found["genotype"]) == load_genotype(best["genotype"])
    assert found["arm"] == best["arm"] and found["loss"] == best["loss"]
    filters, sizes = load_network_size(found["genotype"])
    assert filters == found["filter_multiplier"] == best["filter_multiplier"]
    for line in lines.values():
        genotype = load_genotype(line["genotype"])
        if genotype == load_genotype(best["genotype"]):
            cost = network_cost(genotype, filters, 3, (48, 64), sizes).total.multi_adds
            assert cost == pytest.approx(0.03e9, rel=0.25)
    assert not os.path.exists(os.path.join(model_dir, "candidates"))
    assert min(Image.open(os.path.join(model_dir, "proposals.png")).size) > 100
    # The same command again repeats nothing; decoding leaves what was found.
    again = forked.run("adl_tf.search", command(dataset, model_dir, *bindings))
    assert again.status == 0, again.stderr
    assert {**again.result, "seconds": 0} == {**found, "seconds": 0}
    decoded = forked.run("adl_tf.decode", ["--model_dir", model_dir])
    assert decoded.status == 0, decoded.stderr
    assert decoded.result["genotype"] == os.path.join(model_dir, "decoded", "genotype.json")
    assert load_genotype(found["genotype"]) == load_genotype(best["genotype"])
    other = forked.run(
        "adl_tf.search", command(dataset, model_dir, *bindings, "Trials.share = 0.9")
    )
    assert other.status == 1 and "different schedule.json" in other.stderr


def test_precision_belongs_to_the_run(dataset, tmp_path):
    """A whole search in 16 bits does not go on in 32."""
    bindings = ("run_gradient_search.steps_per_epoch = 2",)
    low = "run_gradient_search.precision = 'mixed_bfloat16'"
    model_dir = str(tmp_path / "low")
    result = forked.run("adl_tf.search", command(dataset, model_dir, *bindings, low))
    assert result.status == 0, result.stderr
    assert len(load_genotype(result.result["genotype"]).path) == 2
    with open(os.path.join(model_dir, "schedule.json")) as file:
        assert json.load(file)["precision"] == "mixed_bfloat16"
    result = forked.run("adl_tf.search", command(dataset, model_dir, *bindings))
    assert result.status == 1 and "precision mixed_bfloat16 -> float32" in result.stderr
