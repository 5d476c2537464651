"""Durations of the steps of a search and of a training on this machine."""

import dataclasses
from typing import Optional

# Of a step's time, what smaller crops and networks do not take less of.
_OVERHEAD = 0.25


@dataclasses.dataclass(frozen=True)
class SearchTimings:
    """Durations in a trial of a search, in seconds.

    Attributes:
      crop_size: side of its crops in pixels.
      start: from the start of the search to its first step, graphs included.
      weight_step: a step of the weights alone.
      alternating_step: a step of the weights and one of the architecture.
      validation: scoring one image by the supernet.
      candidate_start: from the start of a candidate to its first step, graphs included.
      candidate_step: a step of such a training.
    """

    crop_size: int
    start: float
    weight_step: float
    alternating_step: float
    validation: float
    candidate_start: float
    candidate_step: float


@dataclasses.dataclass(frozen=True)
class Timings:
    """Durations in a trial, in seconds.

    Attributes:
      crop_size, multi_adds: those of the tried network: side of its crops in pixels, billions of
        Multi-Adds.
      train_start: from the start of a training to its first step, graphs included.
      train_step: a step.
      validation: scoring one image.
      evaluation_start: the evaluation without its images.
      export: the whole export.
      baseline_step: a step of the baseline; None where it was not tried.
      memory: largest of a program, in GiB.
      search: None where it was not tried.
    """

    crop_size: int
    multi_adds: float
    train_start: float
    train_step: float
    validation: float
    evaluation_start: float
    export: float
    memory: float
    baseline_step: Optional[float] = None
    search: Optional[SearchTimings] = None

    def step(self, crop_size: int, multi_adds: float) -> float:
        """Seconds of a training step of another size."""
        return rescale(self.train_step, (crop_size / self.crop_size) ** 2 * self._cost(multi_adds))

    def image(self, multi_adds: float) -> float:
        """Seconds to label one image by another network."""
        return rescale(self.validation, self._cost(multi_adds))

    def candidate_step(self, crop_size: int, multi_adds: float) -> float:
        """Seconds of a step of the search's short trainings, at another size."""
        pixels = (crop_size / self.search.crop_size) ** 2
        return rescale(self.search.candidate_step, pixels * self._cost(multi_adds))

    def _cost(self, multi_adds: float) -> float:
        return multi_adds / self.multi_adds


def rescale(seconds: float, ratio: float) -> float:
    """Seconds of `ratio` times as much work; less of it keeps its overhead."""
    return seconds * (ratio if ratio > 1 else _OVERHEAD + (1 - _OVERHEAD) * ratio)
