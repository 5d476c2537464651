"""The programs of a study as tasks of Ray, on this machine or on a cluster."""

import contextlib
import io
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from typing import Any, Dict, Iterator, Optional, Sequence, Set, Tuple

from adl_tf.configuration import CORES
from adl_tf.gin_files import NO_IMPORTS
from adl_tf.studies.processes import MemberFailure
from adl_tf.system.interrupts import LIFELINE, handlers_kept
from adl_tf.system.progress import say
from adl_tf.system.settings import Count, Name, NotNegative, Number, check_server, configurable

# Seconds between two looks at whether the study was interrupted.
_PATIENCE = 0.5
# Characters of a message of Ray that are shown.
_WIDTH = 160


@configurable
class RayTasks:
    """A `Runner` on a cluster, or on this machine: each program is a task of Ray.

    A program whose machine or whose worker is lost is run again, and resumes.

    Args:
      address: address of the cluster; by default that of the variable RAY_ADDRESS, or of one that
        runs on this machine. Where there is none, and for "local", Ray is started on this machine.
      num_cpus: cores of each program.
      num_gpus: GPUs of each program, which sees no others. Several share one of which each has a
        part, such as 0.5.
      max_retries: how often a program is run again whose worker was lost.

    Raises:
      ValueError: Ray is not installed, or a number of GPUs that it cannot give.
    """

    workers = None

    def __init__(
        self,
        address: Optional[Name] = None,
        num_cpus: Count = 1,
        num_gpus: NotNegative = 0,
        max_retries: Number = 3,
    ):
        try:
            import ray  # An extra of the package.
        except ImportError as error:
            raise ValueError(
                f"run_study.executor = 'ray': {error}; pip install 'adl-tf[ray]'."
            ) from error
        if num_gpus > 1 and num_gpus % 1:
            raise ValueError(
                f"RayTasks.num_gpus = {num_gpus!r}: Ray gives a part of one GPU, or whole ones."
            )
        self._ray = ray
        self._address = address or os.environ.get("RAY_ADDRESS")
        self._resources = {"CPU": num_cpus, "GPU": num_gpus}
        self._task = ray.remote(run_to_its_end).options(
            num_cpus=num_cpus, num_gpus=num_gpus, max_retries=max_retries
        )
        self._environment = _environment(num_cpus, num_gpus)
        self._lock = threading.Lock()
        self._running: Set[Any] = set()
        self._ended = False

    @contextlib.contextmanager
    def connected(self) -> Iterator["RayTasks"]:
        """In the block, Ray is connected; what the caller connected stays so.

        Raises:
          ValueError: Ray does not answer at the address.
          ConnectionError: it answers, but refuses.
        """
        ours = not self._ray.is_initialized()
        # Ray prints there which workers it lost; a program's stdout has nothing but its result.
        with contextlib.redirect_stdout(_FirstLines()):
            if ours:
                self._connect()
            try:
                self._compare_resources()
                yield self
            finally:
                if ours:
                    self._ray.shutdown()

    def _connect(self) -> None:
        if self._address not in (None, "auto", "local"):  # Ray would try for minutes.
            check_server("RayTasks.address", self._address, "Ray")
        with handlers_kept():  # Ray's own would end the study without asking its members.
            self._ray.init(
                self._address,
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )

    def _compare_resources(self) -> None:
        """Says if no machine has what a program needs: a cluster might still get one."""
        machines = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        if not any(
            all(machine.get(kind, 0) >= count for kind, count in self._resources.items())
            for machine in machines
        ):
            say(
                f"RayTasks.num_cpus = {self._resources['CPU']}, RayTasks.num_gpus = "
                f"{self._resources['GPU']:g}: no machine has as many; the members wait for one."
            )

    def run(self, command: Sequence[str], log: str) -> Tuple[int, str]:
        """See `Runner`."""
        with self._lock:
            if self._ended:
                raise MemberFailure("the study was interrupted.")
            result = self._task.remote(list(command), log, os.getcwd(), self._environment)
            self._running.add(result)
        try:
            return self._ray.get(result)
        except self._ray.exceptions.RayError as error:
            if self._ended:
                raise MemberFailure("the study was interrupted.") from error
            raise MemberFailure(f"{_reason(error)} What it did last is in {log}.") from error
        finally:
            with self._lock:
                self._running.discard(result)

    def terminate(self) -> None:
        """See `Runner`."""
        with self._lock:
            self._ended = True
            for result in self._running:
                self._ray.cancel(result)


class _FirstLines(io.TextIOBase):
    """Takes whole messages of Ray, of a hundred lines at times; the user sees the first of each."""

    def write(self, text: str) -> int:
        lines = re.sub(r"\x1b\[\d*m", "", text).split("\n")
        if lines[0].strip():
            say(lines[0][:_WIDTH].strip())
        return len(text)


def _environment(num_cpus: int, num_gpus: float) -> Dict[str, str]:
    """Environment variables that limit a program to its share of a machine."""
    variables = {CORES: str(num_cpus), LIFELINE: "1"}
    if NO_IMPORTS in os.environ:
        variables[NO_IMPORTS] = os.environ[NO_IMPORTS]
    if not num_gpus:  # Whether Ray hides them then depends on its version.
        variables["CUDA_VISIBLE_DEVICES"] = "-1"
    elif num_gpus < 1:  # TensorFlow would take all the memory of the GPU.
        variables["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    return variables


def _reason(error: Exception) -> str:
    """One line of what Ray says in many."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, OSError):
        return f"{cause}: the machines of Ray have to share the directory of the study."
    lines = [line.strip() for line in str(cause or error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0] if lines else 'no message.'}"


def run_to_its_end(
    command: Sequence[str], log: str, directory: str, environment: Dict[str, str]
) -> Tuple[int, str]:
    """Runs Python to its end, in a worker of Ray; it ends with the worker, whatever ends that.

    Args:
      command: arguments of Python.
      log: file to which its messages are appended.
      directory: where it runs; `log` is relative to it.
      environment: variables beside those of the worker.

    Returns:
      its status, and what it printed.
    """
    # Ray interrupts by SIGINT, which is ignored in all that a script starts in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with open(os.path.join(directory, log), "a") as messages, _lifeline() as lifeline:
        process = subprocess.Popen(
            [sys.executable, *command],
            cwd=directory,
            env={**os.environ, **environment},
            stdin=lifeline,
            stdout=subprocess.PIPE,
            stderr=messages,
            text=True,
            start_new_session=True,
        )
        return _wait(process)


@contextlib.contextmanager
def _lifeline() -> Iterator[int]:
    """The end to read of a pipe whose other end is open until the block or this process ends."""
    reading, writing = os.pipe()
    try:
        yield reading
    finally:
        os.close(writing)
        os.close(reading)


def _wait(process: subprocess.Popen) -> Tuple[int, str]:
    """Status and output of a process; asked to end, once, if this one is interrupted."""
    interruption = None
    while True:
        try:
            # Ray interrupts Python code only, not a wait in the system.
            output, _ = process.communicate(timeout=_PATIENCE)
            break
        except subprocess.TimeoutExpired:
            pass
        except BaseException as error:  # The study was interrupted, or Ray shuts down.
            if interruption is None:
                interruption = error
                process.terminate()
    if interruption is not None:
        raise interruption
    return process.returncode, output
