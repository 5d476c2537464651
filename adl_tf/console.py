"""The console scripts: adl-search is python -m adl_tf.search, adl-convert the converters."""

import os
import pkgutil
import runpy
import sys

import data_prep
from adl_tf.interrupts import end_quietly
from adl_tf.startup import silence_libraries


def run_program() -> None:
    """Runs the program that the script is named after, such as adl-search."""
    name, _ = os.path.splitext(os.path.basename(sys.argv[0]))
    _run_module(f"adl_tf.{name[len('adl-') :]}")


def run_converter() -> None:
    """Runs the converter that the first argument names, such as adl-convert folder."""
    prefix = "convert_"
    modules = [module.name for module in pkgutil.iter_modules(data_prep.__path__)]
    names = [name[len(prefix) :] for name in modules if name.startswith(prefix)]
    if len(sys.argv) < 2 or sys.argv[1] not in names:
        sys.exit(f"error: adl-convert NAME [flags]: give one of {', '.join(names)} as NAME.")
    _run_module(f"data_prep.{prefix}{sys.argv.pop(1)}")


def _run_module(module: str) -> None:
    """Does what python -m does, so that both ways of starting a program are one."""
    end_quietly()
    silence_libraries()
    sys.path[0] = os.getcwd()  # Where gin files find the modules that they import.
    runpy.run_module(module, run_name="__main__", alter_sys=True)
