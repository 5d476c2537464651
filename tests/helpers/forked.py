"""Programs as forked processes, which break where a test says.

A process of its own imports TensorFlow once, and never runs an op of it, whose threads would be
missing in its children; each case forks from there, so that it costs a second or two.
"""

import atexit
import builtins
import concurrent.futures
import functools
import json
import os
import resource
import runpy
import shutil
import signal
import subprocess
import sys
import traceback
from typing import List, NamedTuple, Optional, Sequence

TIME_LIMIT = 120  # Seconds; none of the cases needs a tenth of it.


class Outcome(NamedTuple):
    """How a program ended.

    Attributes:
      status: exit status; -9 if it was killed.
      stdout, stderr: what it printed.
      operations: the changes to files that it made, in their order.
    """

    status: int
    stdout: str
    stderr: str
    operations: List[str]

    @property
    def result(self):
        """The JSON of the last line of stdout."""
        return json.loads(self.stdout.splitlines()[-1])

    @property
    def error(self) -> str:
        """The only error line.

        Raises:
          AssertionError: there is none or another one, or a traceback.
        """
        lines = [line for line in self.stderr.splitlines() if line.startswith("error: ")]
        assert self.status == 1, f"status {self.status}\n{self.stderr[-3000:]}"
        assert len(lines) == 1 and "Traceback" not in self.stderr, self.stderr[-3000:]
        return lines[0]


def run(
    module: str,
    arguments: Sequence[str],
    kill_at: Optional[int] = None,
    largest_file: Optional[int] = None,
    cwd: Optional[str] = None,
    number: int = signal.SIGKILL,
) -> Outcome:
    """Runs python -m module to its end.

    Args:
      module: of the program.
      arguments: its flags.
      kill_at: the change to files, counted from 0, at which it gets a signal, see `operations`.
      largest_file: in bytes; larger ones fail as on a full device.
      cwd: where it starts.
      number: of the signal.
    """
    request = {
        "module": module,
        "arguments": list(arguments),
        "kill_at": kill_at,
        "largest_file": largest_file,
        "cwd": cwd,
        "number": int(number),
    }
    server = _server()
    server.stdin.write(json.dumps(request) + "\n")
    server.stdin.flush()
    return Outcome(*json.loads(server.stdout.readline()))


@functools.cache
def _server() -> subprocess.Popen:
    """The process that forks: pytest itself may have run ops of TensorFlow."""
    server = subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    atexit.register(server.stdin.close)
    return server


def _serve() -> None:
    """Answers requests until there are no more."""
    import adl_tf.runs.training_run  # noqa: F401
    import adl_tf.searches.method  # noqa: F401  What the programs need.

    # isort: split
    import adl_tf.evaluation.network_evaluation
    import adl_tf.serving.export
    import adl_tf.serving.prediction  # noqa: F401

    for line in sys.stdin:
        print(json.dumps(_run(**json.loads(line))), flush=True)


def _run(module, arguments, kill_at, largest_file, cwd, number):
    pipes = [os.pipe() for _ in range(3)]  # Files would be too large for `largest_file`, too.
    child = os.fork()
    if not child:
        writers = [write for _, write in pipes]
        _run_child(module, arguments, kill_at, largest_file, cwd, number, writers)
    for _, write in pipes:
        os.close(write)
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        texts = list(pool.map(_read_all, [read for read, _ in pipes]))
    _, status = os.waitpid(child, 0)
    return Outcome(os.waitstatus_to_exitcode(status), *texts[:2], texts[2].splitlines())


def _read_all(handle) -> str:
    with open(handle, encoding="utf-8", errors="replace") as file:
        return file.read()


def _run_child(module, arguments, kill_at, largest_file, cwd, number, handles):
    """Never returns."""
    status = 70
    try:
        for target, handle in zip((1, 2), handles):
            os.dup2(handle, target)
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
        signal.alarm(TIME_LIMIT)
        # A shell starts what it puts into the background with SIGINT ignored, pytest included.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if cwd:
            os.chdir(cwd)
            sys.path.insert(0, "")  # As python -m does.
        if largest_file is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
        _watch(kill_at, number, handles[2])
        sys.argv = [module, *arguments]
        try:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
            status = 0
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else int(bool(error.code))
            if isinstance(error.code, str):
                print(error.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status or 0)


def _watch(kill_at: Optional[int], number: int, handle: int) -> None:
    """Logs every change to files, and sends the process a signal at one of them."""
    count = [0]

    import tensorflow as tf

    def point(text):
        os.write(handle, f"{text}\n".encode())
        count[0] += 1
        if count[0] - 1 == kill_at:
            os.kill(os.getpid(), number)

    def watched(owner, name):
        function = getattr(owner, name)

        def wrapper(*args, **kwargs):
            place = next((str(a) for a in args if isinstance(a, (str, os.PathLike))), "")
            text = f"{name} {os.path.basename(place)}"
            point(f"before {text}")
            result = function(*args, **kwargs)
            point(f"after {text}")
            return result

        setattr(owner, name, wrapper)

    for name in ("replace", "rename", "remove", "unlink", "mkdir"):
        watched(os, name)
    watched(shutil, "rmtree")
    watched(tf.train.Checkpoint, "write")
    watched(tf.saved_model, "save")
    original = builtins.open

    def watched_open(file, mode="r", *args, **kwargs):
        if isinstance(file, (str, os.PathLike)) and set(mode) & set("wax"):
            point(f"before open {os.path.basename(file)}")
        return original(file, mode, *args, **kwargs)

    builtins.open = watched_open


if __name__ == "__main__":
    _serve()
