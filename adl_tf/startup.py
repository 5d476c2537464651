"""What libraries write to stderr while a program imports them: left out.

From 2.21 on TensorFlow logs half a dozen lines on import that no level silences.
"""

import importlib.util
import os
import sys

_real = _before = None


def silence_libraries() -> None:
    """From here on only Python writes to stderr, until `restore_stderr`.

    Does nothing beside the older TensorFlow, which has no tf_keras and does not log then.
    """
    global _real, _before
    if not importlib.util.find_spec("tf_keras"):
        return
    _real, _before = os.dup(2), sys.stderr
    sys.stderr = open(_real, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)


def restore_stderr() -> None:
    """Libraries write to stderr again."""
    global _real
    if _real is not None:
        sys.stderr.flush()
        os.dup2(_real, 2)
        # The other stays open: handlers of logging may have taken it.
        sys.stderr, _real = _before, None


def import_quietly(name: str):
    """The module of this name, imported in silence."""
    silence_libraries()
    try:
        return importlib.import_module(name)
    finally:
        restore_stderr()
