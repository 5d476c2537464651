"""The console scripts: each does what python -m does, down to the status that it ends with."""

import os
import sys

import forked
import pytest
from processes import run

from adl_tf import console

PROGRAM = "import sys; from adl_tf import console; sys.argv[0] = {!r}; console.{}()"


def run_script(name, entry, arguments, cwd):
    """Runs what pip's script of that name would."""
    return run(["-c", PROGRAM.format(os.path.join("bin", name), entry), *arguments], cwd)


@pytest.mark.parametrize("arguments", [["--help"], ["--output=x", "--multi_adds=0"]])
def test_program_runs_as_with_python_m(tmp_path, arguments):
    module = forked.run("adl_tf.sample", arguments, cwd=str(tmp_path))
    script = run_script("adl-sample", "run_program", arguments, tmp_path)
    assert (script.returncode, script.stdout) == (module.status, module.stdout)
    assert script.stderr == module.stderr and script.stdout + script.stderr


def test_converter_runs_as_with_python_m(tmp_path):
    arguments = [f"--input_dir={tmp_path}", f"--output_dir={tmp_path / 'out'}"]
    module = forked.run("data_prep.convert_folder", arguments, cwd=str(tmp_path))
    script = run_script("adl-convert", "run_converter", ["folder", *arguments], tmp_path)
    assert script.returncode == module.status == 1
    assert script.stderr == module.stderr and "no images there" in script.stderr
    options = ["synthetic", "--output_dir=out", "--num_train=3", "--num_val=1", "--num_workers=2"]
    script = run_script("adl-convert", "run_converter", options, tmp_path)
    assert script.returncode == 0 and (tmp_path / "out" / "dataset.json").exists(), script.stderr


@pytest.mark.parametrize("arguments", [[], ["--help"], ["imagenet"]])
def test_unknown_converter_is_told_the_others(monkeypatch, arguments):
    monkeypatch.setattr(sys, "argv", ["adl-convert", *arguments])
    with pytest.raises(SystemExit, match="adl-convert NAME .*give one of ade20k, .*voc2012"):
        console.run_converter()
