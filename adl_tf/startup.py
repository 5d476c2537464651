"""What libraries write to stderr while a program imports them: left out.

From 2.21 on TensorFlow logs half a dozen lines on import that no level silences.
"""

import importlib.util
import os
import sys

_real = _stderr = None


class _Stderr:
    """Python's stderr, past the silence while it lasts; what took it then keeps it."""

    def __init__(self, before):
        self.before = before
        self.file = open(_real, "w", buffering=1, encoding="utf-8", errors="replace")  # noqa: SIM115

    def __getattr__(self, name):
        return getattr(self.file or self.before, name)


def silence_libraries() -> None:
    """From here on only Python writes to stderr, until `restore_stderr`.

    Does nothing beside the older TensorFlow, which has no tf_keras and does not log then.
    """
    global _real, _stderr
    if not importlib.util.find_spec("tf_keras"):
        return
    _real = os.dup(2)
    sys.stderr = _stderr = _Stderr(sys.stderr)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)


def restore_stderr() -> None:
    """Libraries write to stderr again."""
    global _real
    if _real is not None:
        _stderr.flush()
        os.dup2(_real, 2)
        file, _stderr.file, _real = _stderr.file, None, None
        file.close()
        sys.stderr = _stderr.before


def import_quietly(name: str):
    """The module of this name, imported in silence."""
    silence_libraries()
    try:
        return importlib.import_module(name)
    finally:
        restore_stderr()
