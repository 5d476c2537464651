"""Imports without the log lines that libraries write to stderr meanwhile, and without pauses.

From 2.21 on TensorFlow logs half a dozen lines on import that no level silences.
"""

import contextlib
import gc
import importlib
import os
import sys
from typing import Iterator


@contextlib.contextmanager
def silence() -> Iterator[int]:
    """Discards in the block what is written to stderr; gives a handle of the real one.

    By its descriptor, since TensorFlow's C++ does not write through `sys.stderr`.
    """
    sys.stderr.flush()
    real = os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield real
    finally:
        sys.stderr.flush()
        os.dup2(real, 2)
        os.close(real)


def import_quietly(name: str):
    """The module of this name, imported in silence."""
    with silence():
        return importlib.import_module(name)


def collect_rarely() -> None:
    """Lets Python look less often for garbage that refers to itself.

    While TensorFlow is imported and graphs are traced, millions of objects are made that stay: to
    look through them again and again takes a twentieth of the time until a search's first step.
    """
    gc.set_threshold(100_000, 50, 50)
