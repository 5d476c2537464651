import subprocess
import sys

from readback import environment


def test_worker_processes_start_without_tensorflow():
    """A worker process imports its converter again, and with it what that imports."""
    program = """
import importlib, pkgutil, sys, data_prep
names = [module.name for module in pkgutil.iter_modules(data_prep.__path__)]
converters = [name for name in names if name.startswith("convert_")]
assert len(converters) == 7
for name in [*converters, "processes", "verify"]:
    importlib.import_module(f"data_prep.{name}")
assert "tensorflow" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, env=environment())
