"""A training of a study that takes a second: python quick_member.py DIRECTORY WHAT.

It counts to `STEPS`, and resumes counting from steps.txt, whose lines are the step and the process.
WHAT happens at its step 3: "nothing", "fails", "waits" for the end of the study, or "kills" the
process that started it, once.
"""

import os
import signal
import sys
import time

from adl_tf.programs import run_program
from adl_tf.system.files import exclusive

STEPS = 8


def main(arguments):
    directory, what = arguments
    path = os.path.join(directory, "steps.txt")
    with exclusive(directory):
        for step in range(len(read_steps(directory)), STEPS):
            with open(path, "a") as file:
                file.write(f"{step} {os.getpid()}\n")
            if step == 3 and what == "fails":
                raise ValueError("it was told to fail.")
            if step == 3 and what == "kills":
                os.kill(os.getppid(), signal.SIGKILL)
                time.sleep(600)
            if step == 3 and what == "waits":
                time.sleep(600)
            time.sleep(0.02)
    return {"val_miou": 0.25, "seconds": 1.0}


def read_steps(directory):
    """(step, process) of each that was done."""
    path = os.path.join(directory, "steps.txt")
    if not os.path.exists(path):
        return []
    with open(path) as file:
        return [tuple(map(int, line.split())) for line in file]


if __name__ == "__main__":
    sys.argv[1:1] = ["--"]
    run_program(main, arguments=True)
