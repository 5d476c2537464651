"""Ctrl-C, a closed terminal and the request to terminate; and the end of a parent."""

import contextlib
import os
import re
import select
import signal
import sys
import threading
from typing import Iterator, List

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Set in the environment of a program, in a process group of its own, that must not outlive the
# process that holds the other end of its stdin.
LIFELINE = "ADL_TF_LIFELINE"


class Interrupted(Exception):
    """The user stopped the program; its progress is saved."""


def end_quietly(stderr: int = 2) -> None:
    """From here on any of the signals ends the process with one line and status 130.

    For the seconds in which a program imports TensorFlow: a traceback would be of no use.

    Args:
      stderr: handle of the file that gets the line.
    """

    def end(number, frame):
        os.write(stderr, b"interrupted. Nothing had begun.\n")
        os._exit(130)

    _handle(end)


def is_program() -> bool:
    """Whether Python is importing this package in order to run one of its programs."""
    started = _command_line()
    names = started[started.index("-m") + 1 :][:1] if "-m" in started else []
    return sys.argv[:1] == ["-m"] and bool(
        names and re.fullmatch(r"adl_tf\.\w+|data_prep\.(convert_\w+|verify)", names[0])
    )


def _command_line() -> List[str]:
    """The command line of this process; empty where it is not known."""
    if hasattr(sys, "orig_argv"):  # From Python 3.10 on.
        return sys.orig_argv
    with contextlib.suppress(OSError), open("/proc/self/cmdline", "rb") as file:
        return os.fsdecode(file.read()).split("\0")
    return []


def raise_interrupts() -> None:
    """From here on any of the signals raises KeyboardInterrupt."""

    def interrupt(number, frame):
        raise KeyboardInterrupt(signal.strsignal(number))

    _handle(interrupt)


@contextlib.contextmanager
def handlers_kept() -> Iterator[None]:
    """Undoes at the end of the block what a library in it does to the signal handlers."""
    before = {number: signal.getsignal(number) for number in INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


def hold_lifeline() -> None:
    """From here on this process and those that it starts are killed once stdin has no other end.

    Does nothing in a program that was not started for it, see `LIFELINE`.
    """
    # What it starts has another stdin.
    if os.environ.pop(LIFELINE, None) is None:
        return

    def watch():
        os.read(0, 1)
        os.killpg(0, signal.SIGKILL)

    if select.select([0], [], [], 0)[0]:  # Before anything is written.
        watch()
    threading.Thread(target=watch, daemon=True).start()


def _handle(handler) -> None:
    for number in INTERRUPTS:
        # A shell starts what it puts into the background with SIGINT ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)
