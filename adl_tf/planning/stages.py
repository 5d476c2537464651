"""The stages of a whole run: each a program in a process of its own, done once."""

import contextlib
import hashlib
import json
import math
import os
import re
import resource
import signal
import subprocess
import sys
import time
from typing import Any, Callable, Dict, Iterator, NamedTuple, Optional, Sequence

from adl_tf.model_directory import read_object
from adl_tf.programs import command_line
from adl_tf.system.files import write_json
from adl_tf.system.interrupts import Interrupted
from adl_tf.system.progress import SECONDS_AFTER, SECONDS_IN_ALL, STAGE, say

STATE_FILE = "auto.json"
now = time.time  # What stages are timed by.
PREPARATION = "prepare"


class Stage(NamedTuple):
    """A program to run.

    Attributes:
      name: name of the stage, unique in the run.
      module: module of the program.
      arguments: its flags.
      seconds: planned; None where nothing is planned yet.
      prepare: makes the stage that is run out of this one, once it is known how long those before
        it took; None leaves it as it is.
    """

    name: str
    module: str
    arguments: Sequence[str]
    seconds: Optional[float] = None
    prepare: Optional[Callable[["Stage"], "Stage"]] = None

    @property
    def command(self) -> str:
        """As a user would write it."""
        return command_line([self.module, *self.arguments])


class StageFailure(ValueError):
    """A stage ended without a result; it has said why."""


class OutOfTime(Exception):
    """A program did not end within its limit, and was ended."""


class State:
    """The finished stages of a run: `auto.json`.

    Args:
      directory: directory of the run.

    Raises:
      ValueError: the file is damaged.
    """

    def __init__(self, directory: str):
        self._path = os.path.join(directory, STATE_FILE)
        self._fields = {"stages": {}}
        if os.path.exists(self._path):
            self._fields = read_object(self._path)
            if self._fields.pop("checksum", None) != _checksum(self._fields):
                raise ValueError(
                    f"{self._path}: damaged, or changed by hand; restore it, or give another "
                    "--output_dir."
                )

    @property
    def stages(self) -> Dict[str, Dict[str, Any]]:
        """By name: seconds, command and result of those that are done, in their order."""
        return self._fields["stages"]

    def get(self, name: str, default: Any = None) -> Any:
        """A field."""
        return self._fields.get(name, default)

    def set(self, **fields: Any) -> None:
        """Sets fields and writes the file."""
        self._fields.update(fields)
        write_json({**self._fields, "checksum": _checksum(self._fields)}, self._path)

    @property
    def spent(self) -> Dict[str, float]:
        """Seconds that each stage took so far, those included that have not ended."""
        return self._fields.get("spent", {})

    def spend(self, name: str, seconds: float) -> None:
        """Notes time that a stage took, to its end or to an interruption."""
        spent = self._fields.setdefault("spent", {})
        spent[name] = round(spent.get(name, 0.0) + seconds, 1)
        self.set()

    @contextlib.contextmanager
    def preparing(self) -> Iterator[None]:
        """Notes the time inside the block, but that of its stages, as that of a stage."""
        started, before = now(), sum(self.spent.values())
        yield
        of_stages = sum(self.spent.values()) - before
        self.spend(PREPARATION, max(0.0, now() - started - of_stages))

    def finish(self, stage: Stage, result: Dict[str, Any]) -> None:
        """Notes that a stage is done."""
        self.stages[stage.name] = {
            "seconds": self._fields["spent"][stage.name],
            "command": stage.command,
            "result": result,
        }
        self.set()


def _checksum(fields: Dict[str, Any]) -> str:
    content = json.loads(json.dumps(fields))  # As it will be read: keys of numbers become texts.
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def run_stages(
    state: State, stages: Sequence[Stage], until: Optional[str] = None, hours: float = math.inf
) -> None:
    """Runs the stages that are not done.

    Args:
      state: state of the run.
      stages: all of them, in their order.
      until: the last one to run now; None for all.
      hours: for the whole run, to show what is left of them.

    Raises:
      StageFailure: one failed.
      Interrupted: the user stopped it; the same command resumes.
    """
    names = [stage.name for stage in stages]
    for number, stage in enumerate(stages[: names.index(until) + 1 if until else None], 1):
        if stage.name in state.stages:
            continue
        after = sum(later.seconds or 0 for later in stages[number:])
        if stage.prepare and stage.name not in state.spent:
            stage = stage.prepare(stage)
        about = f", about {minutes(stage.seconds)}" if stage.seconds else ""
        say(f"\n[{number} of {len(stages)}] {stage.name}{about}: {stage.command}")
        started = now()
        try:
            left = 3600 * hours - sum(state.spent.values())
            result = run_program(stage, f"{stage.name} {number}/{len(stages)}", after, left)
        except BaseException:
            with contextlib.suppress(OSError):  # On a full disk; the stage has named its file.
                state.spend(stage.name, now() - started)
            raise
        state.spend(stage.name, now() - started)
        state.finish(stage, result)


def minutes(seconds: float) -> str:
    """A time for people; a short one in seconds."""
    if seconds >= 60:
        return f"{seconds / 60:.1f} minutes"
    whole = max(1, round(seconds))
    return f"{whole} second{'s' * (whole > 1)}"


def run_program(
    stage: Stage,
    label: str,
    seconds_after: float = 0,
    seconds_in_all: float = math.inf,
    log: Optional[str] = None,
    limit: Optional[float] = None,
    tick: Optional[Callable[[], None]] = None,
) -> Dict[str, Any]:
    """Runs a program to its end; returns the JSON of its last line.

    Args:
      stage: the program.
      label: shown in its progress bar.
      seconds_after: what follows it as planned, for the remaining time of the whole run.
      seconds_in_all: at most, for it and what follows it.
      log: file for its messages; None leaves them on stderr.
      limit: seconds after which it is ended; None for none.
      tick: called every second while it runs.

    Raises:
      OutOfTime: it did not end within its limit.
      StageFailure: it failed, and its messages are on stderr.
      ValueError: it failed, and its messages are in the log.
      Interrupted: the user stopped it.
    """
    environment = {
        **os.environ,
        STAGE: label,
        SECONDS_AFTER: str(seconds_after),
        SECONDS_IN_ALL: str(seconds_in_all),
    }
    messages = open(log, "w") if log else None  # noqa: SIM115
    process = subprocess.Popen(
        [sys.executable, "-m", stage.module, *stage.arguments],
        stdout=subprocess.PIPE,
        stderr=messages,
        text=True,
        env=environment,
        # Ctrl-C would reach it too, and the second signal end it before it has saved anything.
        start_new_session=True,
    )
    try:
        output = _wait(process, limit, tick)
    except OutOfTime:
        # What a trial has written is read as it is: nothing has to be saved.
        process.kill()
        process.communicate()
        raise
    except KeyboardInterrupt as interrupt:
        process.send_signal(signal.SIGTERM)
        process.communicate()
        raise Interrupted(f"The same command resumes in {stage.name!r}.") from interrupt
    finally:
        if messages:
            messages.close()
    if process.returncode == 130:
        raise Interrupted(f"The same command resumes in {stage.name!r}.")
    if process.returncode and log:
        raise ValueError(f"{stage.name}: {_last_error(log)}; its messages are in {log}.")
    if process.returncode:
        raise StageFailure(f"Stopped in {stage.name!r}; the same command goes on from there.")
    return json.loads(output.splitlines()[-1])


def _wait(
    process: subprocess.Popen, limit: Optional[float], tick: Optional[Callable[[], None]]
) -> str:
    """The JSON line of a program, once it has ended."""
    if limit is None:
        return process.communicate()[0]
    end = time.monotonic() + limit
    while True:
        try:
            return process.communicate(timeout=min(1.0, max(0.0, end - time.monotonic())))[0]
        except subprocess.TimeoutExpired:
            if time.monotonic() >= end:
                raise OutOfTime from None
            if tick:
                tick()


def _last_error(log: str) -> str:
    with open(log) as file:
        lines = file.read().splitlines()
    lines = [line for line in lines if line.strip()] or ["ended without a message"]
    errors = [line for line in lines if line.startswith("error: ")]
    # Of a traceback, which gin ends with where it was.
    errors = errors or [line for line in lines if re.match(r"[\w.]+(Error|Exception): ", line)]
    return (errors or lines)[-1].removeprefix("error: ").rstrip(".")


def peak_memory() -> float:
    """GiB of the largest process that was run and has ended."""
    kilobytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return kilobytes / 2**20 * (1 if sys.platform != "darwin" else 1 / 1024)
