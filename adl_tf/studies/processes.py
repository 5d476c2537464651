"""The programs of a study as processes of this machine, side by side."""

import os
import queue
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, Callable, Iterator, Optional, Protocol, Sequence, Set, Tuple


class MemberFailure(Exception):
    """A search or a training of a study ended without a result."""


class Runner(Protocol):
    """A runner of the programs of a study.

    Attributes:
      workers: how many it runs at the same time; None where it queues by itself what does not
        fit.
    """

    workers: Optional[int]

    def run(self, command: Sequence[str], log: str) -> Tuple[int, str]:
        """Runs Python to its end.

        Args:
          command: arguments of Python.
          log: file to which its messages are appended.

        Returns:
          its status, and what it printed.

        Raises:
          MemberFailure: it was not run to its end.
        """

    def terminate(self) -> None:
        """Asks all that runs to end; each saves where it is. Nothing begins afterwards."""


class Processes:
    """A `Runner` on this machine: each process has its share of the cores.

    Args:
      workers: how many at the same time.
    """

    def __init__(self, workers: int):
        self.workers = workers
        self._lock = threading.Lock()
        self._running: Set[subprocess.Popen] = set()
        self._ended = False
        cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self._shares: queue.SimpleQueue[Set[int]] = queue.SimpleQueue()
        for worker in range(workers):
            self._shares.put(set(cores[worker::workers]))

    def run(self, command: Sequence[str], log: str) -> Tuple[int, str]:
        """See `Runner`."""
        share = self._shares.get()
        try:
            if share:
                os.sched_setaffinity(0, share)  # Of this thread; its processes inherit it.
            return self._run(command, log)
        finally:
            self._shares.put(share)

    def _run(self, command: Sequence[str], log: str) -> Tuple[int, str]:
        with open(log, "a") as messages:
            with self._lock:
                if self._ended:
                    raise MemberFailure("the study was interrupted.")
                process = subprocess.Popen(
                    [sys.executable, *command],
                    stdout=subprocess.PIPE,
                    stderr=messages,
                    text=True,
                    # Ctrl-C ends the study, which then asks them; a second signal would end them
                    # before they have saved anything.
                    start_new_session=True,
                )
                self._running.add(process)
            output, _ = process.communicate()
        with self._lock:
            self._running.discard(process)
        return process.returncode, output

    def terminate(self) -> None:
        """See `Runner`."""
        with self._lock:
            self._ended = True
            for process in self._running:
                process.terminate()


def run_side_by_side(
    tasks: Sequence[Callable[[], Any]], runner: Runner
) -> Iterator[Callable[[], Any]]:
    """Calls tasks in threads, as many at a time as the runner of their programs has workers.

    Yields:
      for each task that ended, in the order in which they end, a function that returns its result
      or raises what it raised.
    """
    with ThreadPoolExecutor(runner.workers or max(1, len(tasks))) as executor:
        futures = [executor.submit(task) for task in tasks]
        try:
            for future in as_completed(futures):
                yield future.result
        except BaseException:
            for future in futures:
                future.cancel()
            runner.terminate()
            raise
