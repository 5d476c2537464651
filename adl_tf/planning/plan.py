"""The plan of a whole run: as large as its hours allow, and how long each stage takes.

Pure functions of a fingerprint and of what a few dozen steps took on this machine.
"""

import dataclasses
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from adl_tf.planning.fingerprint import VAL, Fingerprint
from adl_tf.planning.settings import (
    CROPS,
    LARGEST_SEARCH_CROP,
    PRESET,
    SEARCHED,
    Settings,
    Start,
    describe_crop,
    largest_crop,
)
from adl_tf.planning.stages import minutes
from adl_tf.planning.timings import Timings, rescale
from adl_tf.searches.halving import rounds

SEARCH, TRAINING, EVALUATION, EXPORT = "search", "train", "evaluate", "export"
# Trainings for a tenth of the time, to compare with: from the other start, and of the baseline.
OTHER, BASELINE = "other", "baseline"
REPORT = "report"

# Of the search, see `run_gradient_search` and `Trials`.
EPOCHS, ARCH_START_EPOCH, RUNGS, SHARE = 10, 4, 3, 0.33
# Of the time; of the time where the user insists; and hours.
SEARCH_SHARE, LARGEST_SEARCH_SHARE, LONGEST_SEARCH = 0.25, 0.5, 1.0
# What a search may be, the best first: proposals, steps of an epoch and of a trial. Steps grow with
# the time.
SEARCHES = ((10, 45, 300), (8, 30, 200), (6, 20, 120), (4, 12, 60))
# A search takes longer than so many starts of a training.
SEARCH_STARTS = 15
_LEAST_SEARCH_CROP = 0.2  # Of the median short side.
# What a training may be, the best first: steps, and the least crop as a share of the median short
# side. The largest crop that allows the steps is taken; in the end, the smallest of all. In equal
# time large crops are worth more than steps (benchmarks/RESULTS.md).
LEAST_STEPS = 30
GOOD_TRAININGS = ((600, 0.66), (1000, 0.33))
TRAININGS = (*GOOD_TRAININGS, (500, 0.25), (200, 0.2), (LEAST_STEPS, 0.0))
# What a search and the training from scratch after it have to be where a training could start from
# weights as well: with less, they end below it (benchmarks/RESULTS.md).
WORTHWHILE_SEARCHES, FROM_SCRATCH = SEARCHES[:2], ((4000, 0.5),)
# Of the Multi-Adds that were chosen, where the time is short.
_COSTS = (1.0, 0.6, 0.35)
VALIDATIONS = 8
# Of the time, for the images of all validations and for those of the evaluation; and how many
# times an image is labelled for the report.
_VALIDATED, _EVALUATED, _SHOWN = 0.05, 0.1, 20
# Of the training's time, and steps, below which there is nothing to compare.
COMPARED, LEAST_COMPARED = 0.1, 100


class TooShort(ValueError):
    """Not even the smallest plan fits.

    Args:
      seconds: that it takes.
    """

    def __init__(self, seconds: float):
        super().__init__(f"the smallest plan takes {seconds / 60:.1f} minutes.")
        self.seconds = seconds


class SearchSteps(NamedTuple):
    """The extent of the search.

    Attributes:
      crop_size: side of its crops in pixels.
      proposals: networks of the search to try, and as many random ones.
      steps_per_epoch: steps per epoch of the supernet; there are `EPOCHS`.
      trial_steps: steps of a trial that survives to its end.
      validation_images: that the supernet scores after each epoch.
    """

    crop_size: int
    proposals: int
    steps_per_epoch: int
    trial_steps: int
    validation_images: int


@dataclasses.dataclass(frozen=True)
class Plan:
    """Settings, numbers of steps, and what they take.

    Attributes:
      settings: see there.
      start: SEARCHED, PRESET or GENOTYPE: what the training starts from.
      start_reason: for people.
      search: None without one.
      train_steps: steps of the training.
      validate_every: steps between validations.
      validation_images: how many each of them scores; None for all.
      evaluation_images: how many are scored in the end; None for all.
      compared_steps: steps of the trainings to compare with, by name; those that the time allows.
      seconds: by stage.
      memory: in GiB.
    """

    settings: Settings
    start: str
    start_reason: str
    search: Optional[SearchSteps]
    train_steps: int
    validate_every: int
    validation_images: Optional[int]
    evaluation_images: Optional[int]
    compared_steps: Dict[str, int]
    seconds: Dict[str, float]
    memory: float

    def to_dict(self) -> Dict[str, Any]:
        """The fields as JSON holds them."""
        search = self.search and self.search._asdict()
        return {**dataclasses.asdict(self), "search": search}

    def table(self) -> List[str]:
        """Lines for a terminal: settings with their reasons, stages with their minutes."""
        reasons = {"start": self.start_reason, **self.settings.reasons}
        lines = [
            f"  {name} = {getattr(self.settings, name, self.start)}: {reason}"
            for name, reason in reasons.items()
        ]
        total = sum(self.seconds.values())
        lines.append(f"  {minutes(total)}, {self.memory:.1f} GiB of memory:")
        details = {TRAINING: f" ({self.train_steps} steps)"}
        if self.search:
            details[SEARCH] = (
                f" ({EPOCHS} x {self.search.steps_per_epoch} steps of the supernet; "
                f"{2 * self.search.proposals} networks, {self.search.trial_steps} steps for the "
                "best)"
            )
        for name, steps in self.compared_steps.items():
            details[name] = f" ({steps} steps, to compare with)"
        for stage, seconds in self.seconds.items():
            lines.append(f"    {stage}{details.get(stage, '')}: {minutes(seconds)}")
        return lines


def make_plan(
    settings: Settings,
    fingerprint: Fingerprint,
    timings: Timings,
    seconds: float,
    starts: Sequence[Start],
) -> Plan:
    """The best plan that the time allows.

    Where it is short, a search shrinks first (proposals, steps, crops), then the training's crops,
    then the network; then the next start is taken. Only the last one may end in few steps, and if
    it has weights, a search is chosen only where its network gets many steps.

    Args:
      settings: those that time does not limit.
      fingerprint: fingerprint of the data set.
      timings: measured in a trial.
      seconds: for all stages.
      starts: what the training may start from, the best first.

    Raises:
      TooShort: not even the smallest plan fits.
    """
    for start, sized, searches, trainings in _options(settings, starts):
        insists = len(starts) == 1
        draft = _Draft(start, sized, fingerprint, timings, seconds, searches, insists)
        plan = draft.plan(trainings, compared=_compared(start, starts))
        if plan:
            return plan
    raise TooShort(draft.least())


def _options(
    settings: Settings, starts: Sequence[Start]
) -> Iterator[Tuple[Start, Settings, Any, Any]]:
    """Starts, networks, and what searches and trainings may be, the best first."""
    for trainings, some in ((GOOD_TRAININGS, starts), (TRAININGS, starts[-1:])):
        for start in some:
            if start.kind == SEARCHED and starts[-1].kind == PRESET:
                yield start, settings, WORTHWHILE_SEARCHES, FROM_SCRATCH
                continue
            for cost in _COSTS if start.multi_adds is None else _COSTS[:1]:
                yield start, _shrunk(settings, cost), SEARCHES, trainings


def least_after_search(starts: Sequence[Start], short_side: int) -> Tuple[int, int]:
    """Steps and side of crops of the smallest training that a search may be planned with."""
    steps, share = FROM_SCRATCH[0] if starts[-1].kind == PRESET else TRAININGS[-1]
    return steps, next((crop for crop in CROPS if crop >= share * short_side), CROPS[-1])


def _shrunk(settings: Settings, cost: float) -> Settings:
    """Settings of a network of a share of the cost."""
    if cost == 1.0:
        return settings
    reason = f"{cost:.0%} of {settings.multi_adds:g} billion, since the hours are few; F fills them"
    return settings.with_setting("multi_adds", round(cost * settings.multi_adds, 4), reason)


def _compared(start: Start, starts: Sequence[Start]) -> Tuple[str, ...]:
    """The trainings to compare with: from another start, if there is one, and of the baseline."""
    other = start.kind == PRESET or any(each.kind == PRESET for each in starts)
    return (OTHER, BASELINE) if other else (BASELINE,)


class _Draft:
    """Plans of one start and one cost, in the time that there is."""

    def __init__(
        self,
        start: Start,
        settings: Settings,
        fingerprint: Fingerprint,
        timings: Timings,
        seconds: float,
        searches: Any,
        insists: bool,
    ):
        if start.multi_adds:
            reason = "billions at the median size: those of a network whose F is given"
            settings = settings.with_setting("multi_adds", round(start.multi_adds, 3), reason)
        self._start, self._settings, self._timings = start, settings, timings
        self._seconds, self._searches, self._insists = seconds, searches, insists
        self._multi_adds = start.multi_adds or settings.multi_adds
        images, image = fingerprint.examples[VAL], timings.image(self._multi_adds)
        self._images = images
        self._scored = _affordable(images, _VALIDATED * seconds / VALIDATIONS, image)
        self._evaluated = _affordable(images, _EVALUATED * seconds, image)
        self._fixed = timings.train_start + VALIDATIONS * self._scored * image
        self._after = {
            EVALUATION: timings.evaluation_start + self._evaluated * image,
            EXPORT: timings.export,
            REPORT: timings.evaluation_start + _SHOWN * image,
        }

    def _step(self, crop_size: int) -> float:
        return self._timings.step(crop_size, self._multi_adds)

    def least(self) -> float:
        """Seconds of the smallest plan."""
        own, images = self._timings, VALIDATIONS + 1 + _SHOWN
        seconds = own.train_start + 2 * own.evaluation_start + own.export
        seconds += images * own.image(self._multi_adds) + LEAST_STEPS * self._step(CROPS[0])
        # With more time, more images are scored.
        seconds /= 1 - _VALIDATED - _EVALUATED
        if self._start.kind == SEARCHED:
            search = SEARCH_STARTS * own.train_start
            if own.search:
                smallest = SearchSteps(self._search_crops()[-1], *SEARCHES[-1], 1)
                search = sum(self._search_seconds(smallest)) / (1 - _VALIDATED)
            seconds = max(search / search_share(self._insists), search + seconds)
        return seconds

    def plan(self, trainings, compared: Sequence[str]) -> Optional[Plan]:
        """The plan with one of these trainings; None if there is no time for it."""
        search, search_seconds = None, 0.0
        if self._start.kind == SEARCHED:
            search, search_seconds = self._fit_search()
            if search is None:
                return None
        left = self._seconds - search_seconds - sum(self._after.values())
        for names in (compared, ()):
            training = left / (1 + COMPARED * len(names))
            crop = self._fit_crop(trainings, training)
            steps = {name: self._compared_steps(name, crop, training) for name in names}
            if crop and all(count >= LEAST_COMPARED for count in steps.values()):
                break
        else:
            return None
        train_steps = int((training - self._fixed) / self._step(crop))
        return Plan(
            settings=self._with_crop(crop, train_steps),
            start=self._start.kind,
            start_reason=self._start.reason,
            search=search,
            train_steps=train_steps,
            validate_every=-(-train_steps // VALIDATIONS),
            validation_images=None if self._scored == self._images else self._scored,
            evaluation_images=None if self._evaluated == self._images else self._evaluated,
            compared_steps=steps,
            seconds={
                **({SEARCH: search_seconds} if search else {}),
                TRAINING: self._fixed + train_steps * self._step(crop),
                **self._after,
                **{name: COMPARED * training for name in steps},
            },
            memory=self._timings.memory,
        )

    def _fit_crop(self, trainings, seconds: float) -> Optional[int]:
        """The largest crop with which one of these trainings fits, the best one first."""
        short = self._settings.short_side
        crops = [crop for crop in reversed(CROPS) if crop <= self._settings.crop_size]
        for steps, share in trainings:
            for crop in crops if share else crops[-1:]:
                # The smallest crops of all are as good as it gets for small images.
                large = crop >= share * short or crop == crops[0]
                if large and self._fixed + steps * self._step(crop) <= seconds:
                    return crop
        return None

    def _with_crop(self, crop: int, steps: int) -> Settings:
        if crop == self._settings.crop_size:
            return self._settings
        reason = (
            f"{describe_crop(crop, self._settings.short_side)}: larger ones would leave too few "
            f"steps; these are {steps}"
        )
        return self._settings.with_setting("crop_size", crop, reason)

    def _compared_steps(self, name: str, crop: Optional[int], training: float) -> int:
        """Steps of a training that takes a tenth of the time, its start included."""
        if crop is None:
            return 0
        step = self._step(crop)
        if name == BASELINE and self._timings.baseline_step:
            ratio = (crop / self._timings.crop_size) ** 2
            step = rescale(self._timings.baseline_step, ratio)
        start = self._timings.train_start
        start += self._scored * self._timings.image(self._multi_adds)
        return int((COMPARED * training - start) / step)

    def _fit_search(self) -> Tuple[Optional[SearchSteps], float]:
        """The best search that the time allows, with its seconds; None if there is none."""
        if self._timings.search is None:
            return None, 0.0
        limit = min(search_share(self._insists) * self._seconds, LONGEST_SEARCH * 3600)
        scored = _affordable(
            self._images, _VALIDATED * limit / EPOCHS, self._timings.search.validation
        )
        for proposals, steps, trial_steps in self._searches:
            for crop in self._search_crops():
                search = SearchSteps(crop, proposals, steps, trial_steps, scored)
                fixed, variable = self._search_seconds(search)
                if fixed + variable <= limit:
                    more = (limit - fixed) / variable
                    search = search._replace(
                        steps_per_epoch=int(more * steps), trial_steps=int(more * trial_steps)
                    )
                    return search, sum(self._search_seconds(search))
        return None, 0.0

    def _search_crops(self) -> List[int]:
        """The crops that a search may have, the largest first."""
        short = self._settings.short_side
        largest = largest_crop(LARGEST_SEARCH_CROP, short)
        return [
            crop
            for crop in reversed(CROPS)
            if crop == largest or _LEAST_SEARCH_CROP * short <= crop < largest
        ]

    def _search_seconds(self, search: SearchSteps) -> Tuple[float, float]:
        """Fixed time of a search, and the time of its steps."""
        own = self._timings.search
        pixels = (search.crop_size / own.crop_size) ** 2
        trainings = sum(rounds(2 * search.proposals, RUNGS, SHARE))
        fixed = own.start + 2 * search.proposals * own.candidate_start
        fixed += EPOCHS * search.validation_images * own.validation
        epochs = ARCH_START_EPOCH * rescale(own.weight_step, pixels)
        epochs += (EPOCHS - ARCH_START_EPOCH) * rescale(own.alternating_step, pixels)
        step = self._timings.candidate_step(search.crop_size, self._multi_adds)
        trials = trainings * (search.trial_steps // RUNGS) * step
        return fixed, search.steps_per_epoch * epochs + trials


def search_share(insists: bool) -> float:
    """Of the time, that a search may take: more of it where nothing else is wanted."""
    return LARGEST_SEARCH_SHARE if insists else SEARCH_SHARE


def _affordable(images: int, seconds: float, each: float) -> int:
    """Number of images that can be scored in a time, at least one."""
    return min(images, max(1, int(seconds / max(each, 1e-6))))
