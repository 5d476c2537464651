"""The rest of a run, divided into calls of `fit`."""

import itertools
from typing import List, NamedTuple, Optional


class Phase(NamedTuple):
    """Consecutive epochs of equally many steps of one kind.

    Attributes:
      first_epoch: the first of them; epochs count from 0.
      end_epoch: the epoch to stop before.
      steps: steps of each; 0 for an epoch with only its validation left.
      alternating: whether architecture steps alternate with the weight steps.
    """

    first_epoch: int
    end_epoch: int
    steps: int
    alternating: bool = False


def plan_phases(
    total_steps: int,
    steps_per_epoch: int,
    epoch: int = 0,
    step: int = 0,
    alternating_from: Optional[int] = None,
) -> List[Phase]:
    """Divides the rest of a run into phases, each one call of `fit`.

    Epochs have `steps_per_epoch` steps, the last one the rest of `total_steps`. An epoch that was
    started is always finished, even if the run has been shortened since.

    Example:
      >>> for phase in plan_phases(total_steps=100, steps_per_epoch=30, epoch=1, step=7):
      ...     print(*phase)
      1 2 23 False
      2 3 30 False
      3 4 10 False

    Args:
      total_steps: steps of the whole run.
      steps_per_epoch: steps between two validations.
      epoch: number of epochs that are done.
      step: number of steps of the next epoch that are done.
      alternating_from: first epoch of alternating steps; None for none.

    Returns:
      the phases in order; none if the run is done.
    """
    num_epochs = -(-total_steps // steps_per_epoch)

    def remaining(index: int) -> int:
        planned = min(steps_per_epoch, total_steps - index * steps_per_epoch)
        return max(0, planned - (step if index == epoch else 0))

    def alternating(index: int) -> bool:
        return alternating_from is not None and index >= alternating_from

    epochs = range(epoch, max(num_epochs, epoch + (step > 0)))
    groups = itertools.groupby(epochs, key=lambda index: (remaining(index), alternating(index)))
    return [
        Phase(members[0], members[-1] + 1, *kind)
        for kind, members in ((kind, list(members)) for kind, members in groups)
    ]
