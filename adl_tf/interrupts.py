"""Ctrl-C and the request to terminate, while a program has not begun or has nothing to save."""

import os
import signal
import sys

NUMBERS = (signal.SIGINT, signal.SIGTERM)


def end_quietly() -> None:
    """From here on either signal ends the process with one line and status 130.

    For the seconds in which a program imports TensorFlow: a traceback would be of no use.
    """

    def end(number, frame):
        os.write(sys.stderr.fileno(), b"interrupted. Nothing had begun.\n")
        os._exit(130)

    _handle(end)


def raise_interrupts() -> None:
    """From here on either signal raises KeyboardInterrupt."""

    def interrupt(number, frame):
        raise KeyboardInterrupt(signal.strsignal(number))

    _handle(interrupt)


def _handle(handler) -> None:
    for number in NUMBERS:
        # A shell starts what it puts into the background with SIGINT ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handler)
