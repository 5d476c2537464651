"""Files that are whole or not there: written beside their place, then renamed into it."""

import contextlib
import glob
import json
import os
import tempfile
from typing import Any, Iterator


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Gives the path of a temporary file that replaces `path` once the block has ended well.

    If the block raises, the temporary file is removed and `path` is left as it was. A process
    killed inside the block leaves both; see `remove_temporaries`.

    Examples:
      >>> import os, tempfile
      >>> path = os.path.join(tempfile.mkdtemp(), "answer.txt")
      >>> with replacing(path) as temporary, open(temporary, "w") as file:
      ...     _ = file.write("42")
      >>> open(path).read()
      '42'

    Args:
      path: of the file to write; its directory exists.

    Yields:
      path of an empty file in the same directory.

    Raises:
      OSError: the directory cannot be written to.
    """
    directory, name = os.path.split(path)
    try:
        handle, temporary = tempfile.mkstemp(".tmp", f".{name}-", directory or ".")
    except OSError as error:
        error.filename = path  # Nobody knows the temporary file by its name.
        raise
    os.close(handle)
    try:
        yield temporary
        os.chmod(temporary, 0o644)  # mkstemp makes it private.
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def remove_temporaries(directory: str) -> None:
    """Removes the temporary files that killed processes left in a directory.

    Those of `replacing` in processes that still run would go, too: the caller makes sure that
    there are none.
    """
    for path in glob.glob(os.path.join(glob.escape(directory), ".*-????????.tmp")):
        os.remove(path)


def write_text(text: str, path: str) -> None:
    """Writes a UTF-8 text file, whole or not at all."""
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(text)


def write_json(content: Any, path: str) -> None:
    """Writes a JSON file, whole or not at all."""
    write_text(json.dumps(content, indent=1) + "\n", path)


def read_json(path: str) -> Any:
    """Reads a JSON file.

    Raises:
      FileNotFoundError: no such file.
      ValueError: not JSON; the message names the file.
    """
    with open(path, encoding="utf-8") as file:
        try:
            return json.load(file)
        except ValueError as error:
            raise ValueError(f"{path}: not JSON ({error}).") from error


def make_directory(path: str) -> None:
    """Makes a directory and those above it.

    Raises:
      ValueError: it cannot be made.
    """
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"{path}: this directory cannot be made ({error.strerror}); choose another."
        ) from error
