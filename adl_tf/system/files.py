"""Atomic file writes: into a temporary file beside the target, then renamed."""

import contextlib
import errno
import fcntl
import glob
import json
import os
import shutil
import tempfile
from typing import Any, Callable, Iterator, Optional

LOCK_FILE = ".lock"


class NoRoomError(OSError):
    """A file for which there is no room: the device is full, or a quota used up."""

    def __init__(self, path: str):
        super().__init__(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    def __str__(self):
        return (
            f"{self.filename}: no room left on the device; make room, then run the same command "
            "again."
        )


@contextlib.contextmanager
def writing(path: str) -> Iterator[None]:
    """In the block, an error that says that there is no room becomes a `NoRoomError` of the path.

    Python's errors do not always have the file's name, and TensorFlow's are of no common type.
    """
    try:
        yield
    except NoRoomError:
        raise
    except Exception as error:
        codes = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        texts = map(os.strerror, codes)
        if getattr(error, "errno", None) in codes or any(text in str(error) for text in texts):
            raise NoRoomError(path) from error
        raise


@contextlib.contextmanager
def replacing(path: str) -> Iterator[str]:
    """Yields a temporary file that replaces `path` if the block succeeds.

    If the block raises, the temporary file is removed and `path` is left as it was. A process
    killed inside the block leaves both; see `remove_temporaries`.

    Example:
      >>> import os, tempfile
      >>> path = os.path.join(tempfile.mkdtemp(), "answer.txt")
      >>> with replacing(path) as temporary, open(temporary, "w") as file:
      ...     _ = file.write("42")
      >>> open(path).read()
      '42'

    Args:
      path: the file to write; its directory must exist.

    Yields:
      path of an empty file in the same directory.

    Raises:
      NoRoomError: no room on the device.
      OSError: the directory cannot be written to.
    """
    directory, name = os.path.split(path)
    try:
        with writing(path):
            handle, temporary = tempfile.mkstemp(".tmp", f".{name}-", directory or ".")
    except OSError as error:
        error.filename = path  # The user does not know the temporary file's name.
        raise
    os.close(handle)
    try:
        with writing(path):
            yield temporary
            with open(temporary, "rb") as file:
                os.fsync(file.fileno())  # Otherwise a power cut could leave an empty file.
        os.chmod(temporary, 0o644)  # mkstemp makes it private.
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


@contextlib.contextmanager
def replacing_all(directory: str) -> Iterator[str]:
    """Yields a temporary folder whose files replace those of a directory if the block succeeds.

    If it raises, for want of room for example, the directory is left as it was.

    Args:
      directory: an existing one.

    Raises:
      NoRoomError: no room on the device.
    """
    with writing(directory):
        staging = tempfile.mkdtemp(".tmp", ".set-", directory)
    try:
        yield staging
        for name in sorted(os.listdir(staging)):
            os.replace(os.path.join(staging, name), os.path.join(directory, name))
    except NoRoomError as error:  # Its file is not known to the user.
        path = os.path.join(directory, os.path.relpath(error.filename, staging))
        raise NoRoomError(path) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


@contextlib.contextmanager
def staging_folder(directory: str, name: str) -> Iterator[str]:
    """Yields a temporary folder in a directory, for the block to fill and to rename.

    It is removed if the block raises; those that killed processes left are removed first.

    Args:
      directory: an existing one, that several processes may write to.
      name: start of the folder's name.

    Raises:
      NoRoomError: no room on the device.
    """
    with writing(directory):
        with _opened(directory) as handle:
            _lock(handle, wait=True)  # The others wait until this folder is locked as well.
            _remove_abandoned(directory, name)
            folder = tempfile.mkdtemp(".tmp", f".{name}-", directory)
            lock = open(folder + LOCK_FILE, "w")  # noqa: SIM115
            _lock(lock)
        try:
            yield folder
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        finally:
            os.remove(lock.name)
            lock.close()


def _remove_abandoned(directory: str, name: str) -> None:
    """Removes staging folders whose processes have ended."""
    for folder in glob.glob(os.path.join(glob.escape(directory), f".{name}-????????.tmp")):
        if not os.path.exists(folder + LOCK_FILE):
            shutil.rmtree(folder, ignore_errors=True)
    for file in glob.glob(os.path.join(glob.escape(directory), f".{name}-????????.tmp{LOCK_FILE}")):
        # A file, since network file systems lock no folders for other machines.
        with contextlib.suppress(OSError), open(file, "r+") as lock:
            if _lock(lock):
                shutil.rmtree(file[: -len(LOCK_FILE)], ignore_errors=True)
                os.remove(file)


@contextlib.contextmanager
def _opened(folder: str) -> Iterator[int]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        yield handle
    finally:
        os.close(handle)


def _lock(file: Any, wait: bool = False) -> bool:
    """Locks an open file until it is closed; False where the file system has no locks.

    Raises:
      BlockingIOError: another process has locked it, and `wait` is False.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK):
            raise
        return False  # Some network file systems.
    return True


@contextlib.contextmanager
def exclusive(directory: str, waiting: Optional[Callable[[], None]] = None) -> Iterator[None]:
    """In the block, no other process is in a block of the same directory.

    The end of the process ends the block, however it ends. Temporary files that killed ones left
    are removed first.

    Args:
      directory: created if missing.
      waiting: called before it waits for another process; None does not wait.

    Raises:
      OSError: the directory cannot be created or written to.
      ValueError: another process is in it.
    """
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(directory, LOCK_FILE), "w") as lock:
        try:
            _lock(lock)
        except BlockingIOError as error:
            if waiting is None:
                raise ValueError(
                    f"{directory}: another process writes there; wait for its end, or use another "
                    "directory."
                ) from error
            waiting()
            _lock(lock, wait=True)
        remove_temporaries(directory)
        yield


def remove_temporaries(directory: str, name: str = "*") -> None:
    """Removes the temporary files that killed processes left in a directory.

    Temporary files of running processes would be removed too: the caller must make sure that there
    are none.

    Args:
      directory: where they are.
      name: name of the file that they were to replace; a star means all.
    """
    for path in glob.glob(os.path.join(glob.escape(directory), f".{name}-????????.tmp")):
        if os.path.isdir(path):
            shutil.rmtree(path)
        else:
            os.remove(path)


def write_text(text: str, path: str) -> None:
    """Writes a UTF-8 text file atomically."""
    with replacing(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(text)


def write_json(content: Any, path: str) -> None:
    """Writes a JSON file atomically."""
    write_text(json.dumps(content, indent=1) + "\n", path)


def read_json(path: str) -> Any:
    """Reads a JSON file.

    Raises:
      FileNotFoundError: no such file.
      ValueError: not JSON; the message names the file.
    """
    with open(path, encoding="utf-8-sig") as file:  # Editors on Windows write a BOM.
        try:
            return json.load(file)
        except ValueError as error:
            raise ValueError(f"{path}: not JSON ({error}).") from error


def reason_of(error: ValueError) -> str:
    """Why a file's content is refused: of pydantic's errors the first field and what is wrong."""
    import pydantic  # Here, since programs import this module before they check their flags.

    if not isinstance(error, pydantic.ValidationError):
        return str(error)
    first = error.errors()[0]
    return ": ".join(filter(None, (".".join(map(str, first["loc"])), first["msg"])))


def make_directory(path: str) -> None:
    """Creates a directory and its parents.

    Raises:
      ValueError: it cannot be created.
    """
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"{path}: cannot create this directory ({error.strerror}); choose another."
        ) from error
