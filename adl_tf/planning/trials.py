"""Trial runs: a few dozen steps of the programs that will run, to time them on this machine."""

import contextlib
import hashlib
import json
import os
import shutil
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from adl_tf.model_directory import METRICS_FILE, RANKING_FILE, read_json_lines
from adl_tf.planning.plan import BASELINE, EVALUATION, EXPORT, SEARCH, SEARCH_STARTS, TRAINING
from adl_tf.planning.stages import OutOfTime, Stage, State, peak_memory, run_program
from adl_tf.planning.timings import SearchTimings, Timings, rescale
from adl_tf.system.progress import Progress

TRIAL = "trial"
clock = time.monotonic
BASELINE_NETWORK = "RunNetwork.network = 'deeplab_v3_plus_mobilenet_v3_small'"
# The smallest share of the hours, or seconds, whichever is longer; never more than the largest.
_SHARE, _SECONDS, _LARGEST_SHARE = 1 / 20, 180.0, 1 / 3
# Sides of crops that are tried; other sizes are computed from them.
LARGEST_TRIED, LARGEST_SEARCH_TRIED = 257, 161
# Of a training: half before and half after a first validation, which builds its graph.
_STEPS, _BASELINE_STEPS, _IMAGES = 30, 10, 4
# Of each of three epochs of a search, and of the trainings that follow.
_SEARCH_STEPS = 6


class Tried(NamedTuple):
    """The settings of a trial.

    Attributes:
      configs: gin files, by stage.
      training: further flags of the training, which say what network it is.
      crop_size, search_crop_size: sides of crops in pixels; no search is tried without the latter.
      search_share: share of the time that a search may take.
      after_search: steps, and side of their crops, that have to fit as well for a search.
      multi_adds: billions that the network costs.
      val_images: how many there are to score.
    """

    configs: Dict[str, str]
    training: Sequence[str]
    crop_size: int
    search_crop_size: Optional[int]
    search_share: float
    after_search: Tuple[int, int]
    multi_adds: float
    val_images: int

    def key(self) -> str:
        """Another one if anything that is tried changes."""
        files = [*self.configs.values(), *(part.partition("=")[2] for part in self.training)]
        texts = [open(path).read() for path in files if os.path.isfile(path)]  # noqa: SIM115
        content = [texts, list(self.training), self.search_crop_size is not None]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def trial_limit(hours: float) -> float:
    """Seconds that a trial may take."""
    seconds = 3600 * hours
    return min(max(_SHARE * seconds, _SECONDS), _LARGEST_SHARE * seconds)


def measure(state: State, directory: str, tried: Tried, hours: float) -> Timings:
    """Runs each of the programs for a few steps, the most important first, while there is time.

    What was measured is kept, and not run again. What there was no time for is estimated from the
    training, which has to fit.

    Args:
      state: state of the run; gets `trial`, and what it took.
      directory: for what they write; removed afterwards.
      tried: see there.
      hours: hours of the whole run.

    Raises:
      ValueError: a program failed, or a third of the hours is not enough for the training.
    """
    with _Trial(state, directory, tried, hours) as trial:
        train = trial.part(TRAINING, _try_training, last=True)
        search = None
        if tried.search_crop_size and _may_search(tried, train, 3600 * hours):
            search = trial.part(SEARCH, _try_search)
        export = trial.part(EXPORT, _try_export)
        evaluation = trial.part(EVALUATION, _try_evaluation)
        baseline = trial.part(BASELINE, _try_baseline)
    return _timings(tried, train, search, export, evaluation, baseline)


def _may_search(tried: Tried, train: Dict[str, Any], seconds: float) -> bool:
    """Whether there may be time for a search, and for the training after it."""
    steps, crop = tried.after_search
    training = steps * rescale(train["step"], (crop / tried.crop_size) ** 2)
    shortest = SEARCH_STARTS * train["start"]
    return shortest < tried.search_share * seconds and shortest + training < seconds


def _timings(tried: Tried, train, search, export, evaluation, baseline) -> Timings:
    """Timings of what was measured, and estimates of the rest."""
    start, validation = train["start"], train["validation"]
    timings = Timings(
        crop_size=tried.crop_size,
        multi_adds=tried.multi_adds,
        train_start=start,
        train_step=train["step"],
        validation=validation,
        # Nothing is trained there: it starts faster.
        evaluation_start=evaluation["start"] if evaluation else start,
        export=export["seconds"] if export else 2 * start,
        memory=max(part["memory"] for part in (train, search, export) if part),
        baseline_step=baseline and baseline["step"],
    )
    if not search:
        return timings
    # What it did not get to is estimated, by ratios of one machine: a supernet step takes six times
    # as long as one of the network, both kinds together twice as long as a weight step. Its
    # trainings start in a process that is running already.
    step = rescale(train["step"], (tried.search_crop_size / tried.crop_size) ** 2)
    weight_step = search.get("weight_step", 6.0 * step)
    found = {
        "weight_step": weight_step,
        "alternating_step": 2.0 * weight_step,
        "validation": validation,
        "candidate_start": 0.7 * start,
        "candidate_step": step,
        **{name: value for name, value in search.items() if name != "memory"},
    }
    own = SearchTimings(crop_size=tried.search_crop_size, **found)
    return Timings(**{**vars(timings), "search": own})


class _Trial:
    """The time of a trial, and its parts."""

    def __init__(self, state: State, directory: str, tried: Tried, hours: float):
        self._state, self.directory, self.tried = state, directory, tried
        kept, key = state.get(TRIAL, {}), tried.key()
        self._kept = kept if kept.get("key") == key else {"key": key, "parts": {}}
        self._hours, self._spent = hours, 0.0
        self._limit, self._last = trial_limit(hours), _LARGEST_SHARE * 3600 * hours
        self._progress = None
        self._text = ""

    def __enter__(self):
        os.makedirs(self.directory, exist_ok=True)
        self._progress = Progress(round(self._limit))
        return self

    def __exit__(self, failure, *_):
        self._progress.close()
        if failure is None:  # Otherwise its messages say why.
            shutil.rmtree(self.directory, ignore_errors=True)

    def part(
        self,
        name: str,
        run: Callable[["_Trial", float], Optional[Dict[str, Any]]],
        last: bool = False,
    ) -> Optional[Dict[str, Any]]:
        """The measurement of a part, now or before; None where there was no time for it.

        Args:
          name: name of the part.
          run: measures it.
          last: without it there is no plan, so that it may take longer than the others.
        """
        parts = self._kept["parts"]
        if name in parts:
            return parts[name]
        limit = (self._last if last else self._limit) - self._spent
        trained = os.path.isdir(os.path.join(self.directory, TRAINING))
        if limit < 1 or (name in (EXPORT, EVALUATION) and not trained):
            return None
        started = clock()
        try:
            measured = run(self, limit)
        except OutOfTime:
            if last:
                raise ValueError(
                    f"--hours={self._hours:g} is too short: a training does not get through its "
                    "first steps in a third of it on this machine; give more."
                ) from None
            measured = None
        finally:
            seconds = clock() - started
            self._spent += seconds
            self._state.spend(TRIAL, seconds)
        if measured is not None:
            parts[name] = {**measured, "memory": round(peak_memory(), 3)}
            self._state.set(**{TRIAL: self._kept})
            return parts[name]
        return None

    def run(self, name: str, program: str, limit: float, *arguments: str) -> float:
        """Seconds that a program took."""
        model_dir = self.model_dir(TRAINING if program in (EVALUATION, EXPORT) else name)
        flags = [*arguments, f"--model_dir={model_dir}"]
        stage = Stage(f"trial of {name}", f"adl_tf.{program}", flags)
        self._text = f"trial of {name}"
        self._progress.announce(self._text)
        started = clock()
        log = os.path.join(self.directory, f"{name}.log")
        run_program(stage, stage.name, log=log, limit=limit, tick=self._tick)
        return clock() - started

    def model_dir(self, name: str) -> str:
        """Where a part writes."""
        return os.path.join(self.directory, name)

    def _tick(self) -> None:
        self._progress.advance(1, self._text)


def _try_training(trial: _Trial, limit: float) -> Dict[str, Any]:
    scored = min(_IMAGES, trial.tried.val_images)
    seconds = trial.run(
        TRAINING,
        TRAINING,
        limit,
        f"--gin_file={trial.tried.configs[TRAINING]}",
        f"--gin_param=STEPS = {_STEPS}",
        f"--gin_param=run_training.validate_every = {_STEPS // 2}",
        f"--gin_param=RunData.validation_images = {scored}",
        *trial.tried.training,
    )
    last = _epochs(trial.model_dir(TRAINING))[-1]
    step, validation = last["seconds_per_step"], last["validation_seconds"]
    start = max(0.0, seconds - _STEPS * step - 2 * validation)
    return {"start": start, "step": step, "validation": validation / scored}


def _try_export(trial: _Trial, limit: float) -> Dict[str, Any]:
    output = f"--output_dir={trial.model_dir(EXPORT)}"
    return {"seconds": trial.run(EXPORT, EXPORT, limit, output)}


def _try_evaluation(trial: _Trial, limit: float) -> Dict[str, Any]:
    return {"start": trial.run(EVALUATION, EVALUATION, limit, "--max_images=1")}


def _try_baseline(trial: _Trial, limit: float) -> Optional[Dict[str, Any]]:
    trial.run(
        BASELINE,
        TRAINING,
        limit,
        f"--gin_file={trial.tried.configs[TRAINING]}",
        f"--gin_param={BASELINE_NETWORK}",
        f"--gin_param=STEPS = {_BASELINE_STEPS}",
        f"--gin_param=run_training.validate_every = {_BASELINE_STEPS}",
        "--gin_param=RunData.validation_images = 1",
    )
    return {"step": _epochs(trial.model_dir(BASELINE))[-1]["seconds_per_step"]}


def _try_search(trial: _Trial, limit: float) -> Dict[str, Any]:
    scored = min(_IMAGES, trial.tried.val_images)
    flags = search_flags(_SEARCH_STEPS, scored)
    started = clock()
    with contextlib.suppress(OutOfTime):  # What it got to is worth something.
        trial.run(SEARCH, SEARCH, limit, f"--gin_file={trial.tried.configs[SEARCH]}", *flags)
    seconds = clock() - started
    found = read_search(trial.model_dir(SEARCH), seconds, _SEARCH_STEPS, scored)
    return found or {"start": 1.5 * seconds}  # It has taken that long without an epoch.


def search_flags(steps: int, images: int) -> List[str]:
    """Flags of `adl_tf.search` that make a few steps of a configured search.

    Args:
      steps: steps of an epoch of weight steps, of each of two alternating ones, and of a training.
      images: that each epoch scores.
    """
    bindings = (
        "run_gradient_search.epochs = 3",
        "run_gradient_search.arch_start_epoch = 1",
        f"run_gradient_search.steps_per_epoch = {steps}",
        "run_gradient_search.proposals = 1",
        f"Trials.steps = {steps}",
        "Trials.rungs = 1",
        f"RunData.validation_images = {images}",
    )
    return [f"--gin_param={binding}" for binding in bindings]


def read_search(
    model_dir: str, seconds: float, steps: int, images: int
) -> Optional[Dict[str, float]]:
    """Durations of a few steps of a search, see `search_flags` and `SearchTimings`.

    Args:
      model_dir: model directory of the search.
      seconds: that it took.
      steps, images: as in `search_flags`.

    Returns:
      the fields of `SearchTimings` but its crop; those are missing that it did not get to. None if
      it did not get to the end of its first epoch.
    """
    epochs = _epochs(model_dir)
    if not epochs:
        return None
    first, last = epochs[0], epochs[-1]
    spent = sum(steps * epoch["seconds_per_step"] + epoch["validation_seconds"] for epoch in epochs)
    found = {
        "weight_step": first["seconds_per_step"],
        "validation": last["validation_seconds"] / images,
    }
    if len(epochs) > 1:
        found["alternating_step"] = last["seconds_per_step"]
    path = os.path.join(model_dir, RANKING_FILE)
    trainings = list(read_json_lines(path, key="key").values())
    if trainings:
        found["candidate_step"] = float(np.mean([one["seconds_per_step"] for one in trainings]))
        whole = float(np.mean([one["seconds"] for one in trainings]))
        found["candidate_start"] = max(0.0, whole - steps * found["candidate_step"])
        spent += sum(one["seconds"] for one in trainings)
    return {"start": max(0.0, seconds - spent), **found}


def _epochs(model_dir: str) -> List[Dict[str, float]]:
    lines = read_json_lines(os.path.join(model_dir, METRICS_FILE), key="epoch", of=int)
    return [lines[epoch] for epoch in sorted(lines) if "seconds_per_step" in lines[epoch]]
