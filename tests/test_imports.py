"""What evaluates and serves a network runs without what trains it."""

import os

from processes import run

import adl_tf

PROGRAM = """
import sys
import {modules}
sys.exit(", ".join(name for name in sys.modules if name.startswith("adl_tf.training")) or 0)
"""


def test_evaluation_and_serving_do_not_import_training(tmp_path):
    modules = ["adl_tf.evaluate", "adl_tf.export", "adl_tf.predict"]
    for package in ("evaluation", "serving"):
        for name in os.listdir(os.path.join(os.path.dirname(adl_tf.__file__), package)):
            # The client needs tensorflow-serving-api, which is optional.
            if name.endswith(".py") and name not in ("__init__.py", "grpc_client.py"):
                modules.append(f"adl_tf.{package}.{name[:-3]}")
    result = run(["-c", PROGRAM.format(modules=", ".join(modules))], tmp_path)
    assert result.returncode == 0, result.stderr
