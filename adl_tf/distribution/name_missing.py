"""Names the workers that are missing, on stderr, while its parent waits for them.

python name_missing.py INDEX ADDRESS ...

A process of its own, since TensorFlow holds Python's lock while it waits. It needs nothing but
Python, and ends with its parent.
"""

import os
import socket
import sys
import time
from typing import List, Sequence

# Seconds until the first line, between lines, between two looks, and for a look.
_FIRST_LINE, _NEXT_LINE, _PAUSE, _LOOK = 10, 60, 2, 2


def answers(address: str) -> bool:
    """Whether something listens at "host:port"."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_LOOK).close()
    except OSError:
        return False
    return True


def silent_workers(addresses: Sequence[str], own: int) -> List[int]:
    """The workers other than one's own that do not answer now."""
    return [i for i, address in enumerate(addresses) if i != own and not answers(address)]


def main() -> None:
    index, *addresses = sys.argv[1:]
    parent, due = os.getppid(), time.monotonic() + _FIRST_LINE
    while os.getppid() == parent:
        time.sleep(_PAUSE)
        if time.monotonic() < due:
            continue
        missing = silent_workers(addresses, int(index))
        if missing:
            names = ", ".join(f"worker {i} ({addresses[i]})" for i in missing)
            print(f"Waiting for {names}: the same command has to run there.", file=sys.stderr)
            due = time.monotonic() + _NEXT_LINE


if __name__ == "__main__":
    main()
