"""Modules import only from lower layers of the list in pyproject.toml."""

import os
import pkgutil
import re
import subprocess
import sys

from processes import run

import adl_tf

ROOT = os.path.dirname(os.path.dirname(__file__))
PROGRAM = """
import sys
import {modules}
sys.exit(", ".join(name for name in sys.modules if name.startswith("adl_tf.training")) or 0)
"""


def test_imports_form_a_tree_of_layers():
    lint = os.path.join(os.path.dirname(sys.executable), "lint-imports")
    command = [lint, "--no-cache", "--config", os.path.join(ROOT, "pyproject.toml")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "1 kept" in result.stdout


def test_every_module_has_its_layer_and_the_map_lists_them_all():
    with open(os.path.join(ROOT, "pyproject.toml"), encoding="utf-8") as file:
        layers = re.findall(r"adl_tf\.(\w+)", file.read().split("layers = [")[1])
    assert sorted(layers) == sorted(m.name for m in pkgutil.iter_modules(adl_tf.__path__))
    with open(os.path.join(ROOT, "WORKSPACE.md"), encoding="utf-8") as file:
        text = file.read()
    assert all(re.search(rf"\b{name}\b", text) for name in layers)


def test_evaluation_and_serving_do_not_import_training(tmp_path):
    modules = ["adl_tf.evaluate", "adl_tf.export", "adl_tf.predict"]
    for package in ("evaluation", "serving"):
        for name in os.listdir(os.path.join(os.path.dirname(adl_tf.__file__), package)):
            # The client needs tensorflow-serving-api, which is optional.
            if name.endswith(".py") and name not in ("__init__.py", "grpc_client.py"):
                modules.append(f"adl_tf.{package}.{name[:-3]}")
    result = run(["-c", PROGRAM.format(modules=", ".join(modules))], tmp_path)
    assert result.returncode == 0, result.stderr
