"""The diff of docs/how_to.md that adds a kind of op, applied to a copy of the package."""

import os
import re
import shutil
import subprocess

import pytest
from processes import run

from adl_tf.layers.cell import CellOp
from adl_tf.layers.mixed_op import MixedOp
from adl_tf.space import ops

ROOT = os.path.dirname(os.path.dirname(__file__))


def test_the_op_of_the_docs_is_searched_decoded_trained_counted_and_drawn(tmp_path):
    for package in ("adl_tf", "data_prep"):
        ignored = shutil.ignore_patterns("__pycache__", "presets")
        shutil.copytree(os.path.join(ROOT, package), tmp_path / package, ignore=ignored)
    with open(os.path.join(ROOT, "docs", "how_to.md"), encoding="utf-8") as file:
        (diff,) = re.findall(r"```diff\n(--- a/.*?)```", file.read(), flags=re.DOTALL)
    applied = subprocess.run(
        ["git", "apply", "-"], input=diff, cwd=tmp_path, capture_output=True, text=True
    )
    assert applied.returncode == 0, applied.stderr
    shutil.copy(os.path.join(ROOT, "tests", "helpers", "new_op.py"), tmp_path)
    result = run(["new_op.py"], tmp_path)
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "done"


def test_a_kind_that_is_not_everywhere_is_refused(monkeypatch):
    unknown = ops.Op("excited_conv_3x3", "excited", 3, "exc 3x3", "#000000")
    monkeypatch.setitem(ops._BY_NAME, unknown.name, unknown)
    with pytest.raises(ValueError, match="supernet does not evaluate ops of the kind 'excited'"):
        MixedOp((unknown.name,), 4)
    with pytest.raises(ValueError, match="add its kind 'excited' to layers/cell.py"):
        CellOp(unknown.name, 4)
