"""Flags, gin files and paths are checked before TensorFlow is imported; errors are one line."""

import inspect
import os
import shlex
import subprocess
import sys

import gin
import pytest

import adl_tf.evaluation.network_evaluation  # noqa: F401  Their configurables are compared.
import adl_tf.planning.auto  # noqa: F401
import adl_tf.runs.training_run  # noqa: F401
import adl_tf.searches.method  # noqa: F401
import adl_tf.studies.members  # noqa: F401
import adl_tf.studies.study  # noqa: F401
from adl_tf import gin_files
from adl_tf.gin_files import check_gin, read_statements
from adl_tf.models import network_names, registry
from adl_tf.programs import command_line, one_line
from adl_tf.serving import body, edge_files, options

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SEARCH = ["adl_tf.search", "--gin_file=search.gin"]


@pytest.mark.parametrize(
    "arguments, status, message",
    [
        (["adl_tf"], 0, "auto        From a folder of images and masks to a served network"),
        (["adl_tf", "predict", "--help"], 0, "--export_dir:"),
        (["adl_tf", "serch"], 1, "no program 'serch'; did you mean search?"),
        (["adl_tf.train", "--model_dri=x"], 1, "error: Unknown command line flag 'model_dri'"),
        (["adl_tf.auto", "x", "--hours=0"], 1, "error: flag --hours=0: 0.0 is not number"),
        (["adl_tf.export"], 1, "error: --model_dir is missing. --output_dir is missing. --help"),
        (["adl_tf.search", "mine.gin"], 1, "error: unexpected argument 'mine.gin'"),
        (["data_prep.verify"], 1, "error: give one directory"),
        (["adl_tf.search", "--gin_file=serach.gin"], 1, "did you mean search.gin?"),
        ([*SEARCH, "--gin_param=STEPSS = 1"], 1, "did you mean STEPS?"),
        ([*SEARCH, "--gin_param=RunData.crop = 1"], 1, "did you mean crop_size?"),
        ([*SEARCH, "--gin_param=DATASET_DIR = 'x'"], 1, "x: no such data set directory"),
        (["adl_tf.train", "--genotype=x.json"], 1, "neither a file nor a preset"),
        (["adl_tf.train", "--init_from=x"], 1, "x: no network.json there"),
        (["adl_tf.decode", "--model_dir=x"], 1, "x: no search there"),
        (["adl_tf.evaluate", "--model_dir=x"], 1, "x: no network.json there"),
        (
            ["adl_tf.export", "--model_dir=x", "--output_dir=y", "--int8"],
            1,
            "--int8 needs a format",
        ),
        (
            ["adl_tf.predict", "--export_dir=x", "--output_dir=y", "z.jpg"],
            1,
            "z.jpg: no such image",
        ),
        (["adl_tf.auto", "x"], 1, "x: no such folder"),
        (["adl_tf.auto"], 1, "give one FOLDER"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_help_and_mistakes_do_not_wait_for_tensorflow(arguments, status, message, tmp_path):
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('TensorFlow was imported')\n")
    process = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
    )
    output = process.stdout + process.stderr
    assert process.returncode == status and message in output, output
    assert "Traceback" not in output and "TensorFlow was imported" not in output
    assert os.listdir(tmp_path) == ["tensorflow.py"]


def test_what_is_known_without_imports_is_what_gin_knows():
    registered = [name for name in gin.config._REGISTRY._selector_map if name.startswith("adl_tf.")]
    assert len(registered) > 30
    sources = gin_files._configurables()
    assert {name.rpartition(".")[2] for name in registered} == set(sources)
    for name in registered:
        known = gin_files._arguments(sources[name.rpartition(".")[2]])
        target = gin.get_configurable(name)
        function = target.__init__ if inspect.isclass(target) else target
        arguments = [
            argument for argument in inspect.signature(function).parameters if argument != "self"
        ]
        assert known is None or known == arguments, name


@pytest.mark.parametrize(
    "text, message",
    [
        ("RunData.crop_size = (1", "gin: 'RunData.crop_size = .1': .*EOF in multi-line statement"),
        ("RunData.crop_size", "line 1: Couldn't parse statement"),
        ("RunDatta.seed = 1", "nothing is called 'RunDatta'; did you mean RunData?"),
        (
            "search.method = @run_random_serch",
            "'run_random_serch'; did you mean run_random_search?",
        ),
        ("scope/RunData.sed = 1", "RunData has no 'sed'; did you mean seed?"),
        ("import no_such_module", "'import no_such_module': no module 'no_such_module'"),
        ("include 'train.gn'", "train.gn: no such file; did you mean train.gin?"),
    ],
)
def test_mistakes_of_gin_are_named(text, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        check_gin(read_statements([], [text]))
    own = tmp_path / "own.gin"
    own.write_text(f"\n{text}\n")
    with pytest.raises(ValueError) as error:
        check_gin(read_statements([str(own)], []))
    assert "\n" not in str(error.value)


def test_what_is_right_passes():
    for name in gin_files.config_names():
        statements = read_statements([name], [])
        if not os.path.basename(name).startswith(("base_", "auto_deeplab")):
            check_gin(statements)
    check_gin(read_statements(["search.gin"], ["import json", "anything.at_all = 1"]))
    check_gin(read_statements(["search.gin"], ["a/b/RunData.seed = @x/singleton()"]))


@gin.configurable
class Outer:
    def __init__(self):
        Inner()


@gin.configurable
class Inner:
    def __init__(self):
        raise ValueError("what is\nwrong; and the fix")


def test_errors_are_without_the_call_stack_of_configurables():
    with gin.config_scope("scope"), pytest.raises(ValueError) as error:
        Outer()
    assert "In call to configurable" in str(error.value)
    assert one_line(error.value) == "what is wrong; and the fix"
    wrapped = ValueError(f"place: {' '.join(str(error.value).split())}; see there.")
    assert one_line(wrapped) == "place: what is wrong; and the fix; see there."


def test_names_known_without_imports_are_those_of_the_package():
    assert tuple(registry.NETWORKS) == network_names.NETWORK_NAMES
    assert tuple(body.POLICIES) == options.DTYPES
    assert tuple(edge_files.FORMATS) == options.FILE_FORMATS
    assert (
        tuple(n for n, kind in edge_files.FORMATS.items() if kind.int8_file) == options.INT8_FORMATS
    )


@pytest.mark.parametrize(
    "part, shown",
    [
        ("--gin_param=DATASET_DIR = 'my data'", "\"--gin_param=DATASET_DIR = 'my data'\""),
        ("--model_dir=runs/a", "--model_dir=runs/a"),
        ("it's $HOME", None),
        ("two words", "'two words'"),
    ],
)
def test_commands_can_be_copied(part, shown):
    line = command_line(["adl_tf.search", part])
    assert shlex.split(line) == ["python", "-m", "adl_tf.search", part]
    assert shown is None or line.endswith(f" {shown}")
    echoed = subprocess.run(
        ["bash", "-c", f"printf %s {line[len('python -m adl_tf.search ') :]}"],
        capture_output=True,
        text=True,
    )
    assert echoed.stdout == part


def test_help_that_nobody_reads_on_is_no_error():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as pipe:
        command = [sys.executable, "-m", "adl_tf.search", "--help"]
        process = subprocess.run(command, stdout=pipe, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert (process.returncode, process.stderr) == (0, "")
