"""Folders of exports: one per version, named by its number, as TensorFlow Serving reads them."""

import os
from typing import List, Tuple

_SAVED_MODEL = "saved_model.pb"


def versions(output_dir: str) -> List[int]:
    """Versions in a directory of exports, in order; none if there is no such directory."""
    if not os.path.isdir(output_dir):
        return []
    return sorted(int(name) for name in os.listdir(output_dir) if name.isdigit())


def add_version(folder: str, output_dir: str) -> Tuple[int, str]:
    """Moves a finished export into place, after versions that others added meanwhile.

    Args:
      folder: directory of the export, on the same file system.
      output_dir: holds the versions; exists.

    Returns:
      (version, folder of the export).

    Raises:
      OSError: the directory cannot be written to.
    """
    while True:
        version = 1 + max(versions(output_dir), default=0)
        export_dir = os.path.join(output_dir, str(version))
        try:
            os.rename(folder, export_dir)
            return version, export_dir
        except OSError:
            if not os.path.exists(export_dir):
                raise


def find_export(export_dir: str) -> str:
    """The SavedModel's folder: the directory itself, or the newest version in it.

    Raises:
      FileNotFoundError: neither.
    """
    newest_first = reversed(versions(export_dir))
    for folder in (export_dir, *(os.path.join(export_dir, str(n)) for n in newest_first)):
        if os.path.exists(os.path.join(folder, _SAVED_MODEL)):
            return folder
    raise FileNotFoundError(
        f"{export_dir}: no export there; make one with python -m adl_tf.export."
    )
