"""The console scripts: each does what python -m does, down to the status that it ends with."""

import ast
import os
import re
import subprocess
import sys

import forked
import pytest
from processes import run

from adl_tf import console
from adl_tf.completion import print_completion

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

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


def test_every_program_has_a_command(tmp_path, monkeypatch, capsys):
    with open(os.path.join(ROOT, "setup.py"), encoding="utf-8") as file:
        listed = re.search(r"^PROGRAMS = (\(.*?^\))", file.read(), re.MULTILINE | re.DOTALL)[1]
    assert ast.literal_eval(listed) == console.PROGRAMS
    monkeypatch.setattr(sys, "argv", ["adl"])
    console.main()
    overview = capsys.readouterr().out
    for program in console.list_programs():
        assert f"  {program.name:12}{program.text}" in overview
    monkeypatch.setattr(sys, "argv", ["adl", "convert", "imagenet"])
    with pytest.raises(SystemExit, match="adl-convert NAME"):
        console.main()


COMPLETE = """
eval "$SCRIPT"
for line in "adl pro" "adl search --gin_f" "adl search --gin_file recommended_s" \\
    "adl export --dtype b" "adl convert cam" "adl auto --noplan"; do
  COMP_WORDS=($line); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); COMPREPLY=()
  _shtab_adl
  echo "${COMPREPLY[*]}"
done
"""


def test_completion_of_programs_flags_and_values(capsys):
    print_completion(["bash"], console.list_programs())
    environment = {**os.environ, "SCRIPT": capsys.readouterr().out}
    result = subprocess.run(
        ["bash", "-c", COMPLETE], env=environment, capture_output=True, text=True
    )
    assert result.stdout.splitlines() == [
        *("profile", "--gin_file", "recommended_search.gin"),
        *("bfloat16", "camvid", "--noplan_only"),
    ], result.stderr
    with pytest.raises(SystemExit, match="adl completion SHELL: give one of bash"):
        print_completion(["dos"], console.list_programs())
