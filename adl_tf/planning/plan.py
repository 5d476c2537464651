"""The plan of a whole run: its settings with a reason for each, and how long each stage takes.

Pure functions of a fingerprint and of what a few dozen steps took on this machine.
"""

import dataclasses
import os
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from adl_tf.planning.fingerprint import TRAIN, VAL, Fingerprint
from adl_tf.space.costs import network_cost
from adl_tf.space.early_stopping import expected_trainings
from adl_tf.space.genotype import Genotype
from adl_tf.space.network_sizes import NetworkSizes
from adl_tf.space.sampling import sample_genotype
from adl_tf.space.search_space import SearchSpace

SEARCH, TRAINING, EVALUATION, EXPORT = STAGES = ("search", "train", "evaluate", "export")

NUM_LAYERS, NUM_BLOCKS = 8, 3
# Stem and head in proportion to the cells: F, and what is around them.
_SMALL = NetworkSizes(stem=(16, 16, 32), aspp=32, low_level=16, decoder=32)
_MEDIUM = NetworkSizes(stem=(16, 16, 32), aspp=64, low_level=24, decoder=64)
WIDTHS = (
    *((filters, _SMALL) for filters in (8, 12, 16)),
    *((filters, _MEDIUM) for filters in (16, 20, 24, 32)),
)
DEFAULT_WIDTH = WIDTHS[3]
# Sides of crops; one more than a multiple of 32 keeps the corners of all strides aligned.
CROPS = (97, 129, 161, 193, 257, 321, 385, 449, 513)
# Images, below which a search has too little to tell genotypes apart by.
FEW_IMAGES = 20
# Most frequent over rarest class, from which on pixels are weighted.
IMBALANCED = 10.0
SEARCH_SHARE = 0.25  # Of the time.
LONGEST_SEARCH = 1.0  # Hours.
CANDIDATES, RUNGS, SHARE = 20, 4, 0.33  # Of the search, see `run_random_search`.
LEAST_SEARCH_STEPS, LEAST_STEPS = 80, 200
VALIDATIONS = 8


@dataclasses.dataclass(frozen=True)
class Settings:
    """What does not depend on the time that there is.

    Attributes:
      crop_size, search_crop_size: sides of crops in pixels.
      batch_size: images per step.
      filter_multiplier: F.
      sizes: of stem, ASPP and decoder.
      cells_multi_adds: billions, what the search looks for.
      class_balanced: whether pixels of rare classes weigh more.
      precision: see `run_training`.
      searched: False where a preset's genotype is trained instead.
      image_size: (H, W) of the median image.
      reasons: by setting.
    """

    crop_size: int
    search_crop_size: int
    batch_size: int
    filter_multiplier: int
    sizes: NetworkSizes
    cells_multi_adds: float
    class_balanced: bool
    precision: str
    searched: bool
    image_size: Tuple[int, int]
    reasons: Dict[str, str]

    def like(self, filter_multiplier: int, sizes: NetworkSizes) -> "Settings":
        """The same for a network whose weights are there already."""
        reason = "that of the weights that the training starts from"
        return dataclasses.replace(
            self,
            filter_multiplier=filter_multiplier,
            sizes=sizes,
            reasons={**self.reasons, "filter_multiplier": reason, "sizes": reason},
        )


@dataclasses.dataclass(frozen=True)
class Timings:
    """What a trial took on this machine, in seconds.

    Attributes:
      search_start: of the search without its trainings.
      candidate_start, train_start: of a training until its first step, graphs included.
      search_step, train_step: of a step.
      validation: of one image.
      evaluation_start: of the evaluation without its images.
      export: of all of it.
      memory: largest of a program, in GiB.
    """

    search_start: float
    candidate_start: float
    search_step: float
    train_start: float
    train_step: float
    validation: float
    evaluation_start: float
    export: float
    memory: float


@dataclasses.dataclass(frozen=True)
class Plan:
    """Settings, numbers of steps, and what they take.

    Attributes:
      settings: see there.
      search_steps, candidates: of a training in the search, and how many begin; 0 without a search.
      train_steps: of the training.
      validate_every: steps between validations.
      validation_images: how many each of them scores; None for all.
      seconds: by stage.
      memory: in GiB.
    """

    settings: Settings
    search_steps: int
    candidates: int
    train_steps: int
    validate_every: int
    validation_images: Optional[int]
    seconds: Dict[str, float]
    memory: float

    def to_dict(self) -> Dict[str, Any]:
        """The fields as JSON holds them."""
        return dataclasses.asdict(self)

    def table(self) -> List[str]:
        """Lines for a terminal: settings with their reasons, stages with their minutes."""
        settings = self.settings
        lines = [
            f"  {name} = {getattr(settings, name)}: {reason}"
            for name, reason in settings.reasons.items()
        ]
        total = sum(self.seconds.values())
        lines.append(f"  {total / 60:.0f} minutes, {self.memory:.1f} GiB of memory:")
        details = {
            SEARCH: f" ({self.candidates} networks, {self.search_steps} steps for the best)",
            TRAINING: f" ({self.train_steps} steps)",
        }
        for stage, seconds in self.seconds.items():
            lines.append(f"    {stage}{details.get(stage, '')}: {seconds / 60:.1f} minutes")
        return lines


def choose_settings(
    fingerprint: Fingerprint,
    multi_adds: Optional[float],
    gpu: bool,
    preset: Optional[str] = None,
) -> Settings:
    """Chooses what does not depend on the time.

    Args:
      fingerprint: of the data set.
      multi_adds: billions that the network may cost at the median size; None for no limit.
      gpu: whether there is one.
      preset: a network that comes with the package, for small sets; None if there is none.

    Raises:
      ValueError: no network of this space costs so little.
    """
    height, width = fingerprint.median_size
    short = min(height, width)
    images = fingerprint.examples[TRAIN]
    crop = _largest(CROPS, 0.75 * short)
    search_crop = _largest(CROPS, 0.4 * short)
    batch = min(8 if gpu else 4, max(1, images // 2))
    filters, sizes = _choose_width(fingerprint, multi_adds)
    imbalance = fingerprint.imbalance
    searched = images >= FEW_IMAGES or preset is None
    reasons = {
        "crop_size": f"three quarters of the median short side, {short}",
        "search_crop_size": "smaller: a search trains many networks",
        "batch_size": "enough for batch norm, and few enough for many steps",
        "filter_multiplier": (
            f"the largest with which the median network costs at most {multi_adds:g} billion "
            "Multi-Adds"
            if multi_adds
            else "a small network: give --multi_adds for another"
        ),
        "sizes": "stem and head in proportion to the cells",
        "cells_multi_adds": "the median of random networks, in billions",
        "class_balanced": f"the most frequent class has {imbalance:.0f} times the pixels of the "
        "rarest",
        "precision": "what is fastest on a GPU" if gpu else "what is fastest on a processor",
        "searched": (
            f"{images} images to train on"
            if searched
            else f"{images} images are too few to tell networks apart: {preset!r}, which comes "
            "with the package, is trained on instead"
        ),
    }
    if not searched:
        del reasons["search_crop_size"], reasons["cells_multi_adds"]
    return Settings(
        crop_size=crop,
        search_crop_size=search_crop,
        batch_size=batch,
        filter_multiplier=filters,
        sizes=sizes,
        cells_multi_adds=round(_median_cost(filters, sizes, fingerprint, "cells"), 4),
        class_balanced=imbalance > IMBALANCED,
        precision="mixed_float16" if gpu else "float32",
        searched=searched,
        image_size=(height, width),
        reasons=reasons,
    )


def make_plan(settings: Settings, fingerprint: Fingerprint, timings: Timings, hours: float) -> Plan:
    """Divides the time among the stages.

    Raises:
      ValueError: it is too short for the smallest plan.
    """
    budget = hours * 3600
    images = fingerprint.examples[VAL]
    # A pass over the validation images should not take more than a twentieth of the time.
    affordable = int(budget / 20 / VALIDATIONS / max(timings.validation, 1e-6))
    scored = min(images, max(1, affordable))
    seconds = {}
    search_steps = candidates = 0
    if settings.searched:
        candidates = CANDIDATES
        fixed = timings.search_start + candidates * timings.candidate_start
        trainings = expected_trainings(candidates, RUNGS, SHARE)
        share = min(SEARCH_SHARE * budget, LONGEST_SEARCH * 3600)
        affordable = int((share - fixed) / trainings / timings.search_step)
        search_steps = max(LEAST_SEARCH_STEPS, affordable)
        seconds[SEARCH] = fixed + trainings * search_steps * timings.search_step
    after = {
        EVALUATION: timings.evaluation_start + images * timings.validation,
        EXPORT: timings.export,
    }
    fixed = timings.train_start + VALIDATIONS * scored * timings.validation
    left = budget - sum(seconds.values()) - sum(after.values()) - fixed
    train_steps = int(left / timings.train_step)
    if train_steps < LEAST_STEPS:
        least = budget - left + LEAST_STEPS * timings.train_step
        raise ValueError(
            f"--hours={hours:g} is too short: the smallest plan for these images on this machine "
            f"takes {least / 3600 * 1.05:.2f} hours."
        )
    seconds[TRAINING] = fixed + train_steps * timings.train_step
    return Plan(
        settings=settings,
        search_steps=search_steps,
        candidates=candidates,
        train_steps=train_steps,
        validate_every=-(-train_steps // VALIDATIONS),
        validation_images=None if scored == images else scored,
        seconds={**seconds, **after},
        memory=timings.memory,
    )


def search_config(settings: Settings, dataset_dir: str, steps: int, candidates: int) -> str:
    """The gin file of the search."""
    reasons = settings.reasons
    return f"""# Planned for {dataset_dir}. Edit it, and give the same command again.

include 'recommended_search.gin'

DATASET_DIR = {dataset_dir!r}
CROP_SIZE = {settings.search_crop_size}  # {reasons["search_crop_size"]}.
BATCH_SIZE = {settings.batch_size}  # {reasons["batch_size"]}.
STEPS = {steps}
CANDIDATES = {candidates}
NUM_LAYERS = {NUM_LAYERS}
NUM_BLOCKS = {NUM_BLOCKS}
FILTER_MULTIPLIER = {settings.filter_multiplier}  # {reasons["filter_multiplier"]}.
IMAGE_SIZE = {settings.image_size}
MULTI_ADDS = {settings.cells_multi_adds}  # {reasons["cells_multi_adds"]}.
SEED = 0

{_size_bindings(settings.sizes)}
run_random_search.class_balanced_loss = {settings.class_balanced}  # {reasons["class_balanced"]}.
run_random_search.rungs = {RUNGS}
run_random_search.share = {SHARE}
"""


def train_config(
    settings: Settings,
    dataset_dir: str,
    steps: int,
    validate_every: int,
    validation_images: Optional[int],
) -> str:
    """The gin file of the training."""
    reasons = settings.reasons
    return f"""# Planned for {dataset_dir}. Edit it, and give the same command again.

include 'recommended_train.gin'

DATASET_DIR = {dataset_dir!r}
CROP_SIZE = {settings.crop_size}  # {reasons["crop_size"]}.
BATCH_SIZE = {settings.batch_size}  # {reasons["batch_size"]}.
STEPS = {steps}
FILTER_MULTIPLIER = {settings.filter_multiplier}  # {reasons["filter_multiplier"]}.
SEED = 0

{_size_bindings(settings.sizes)}
run_training.class_balanced_loss = {settings.class_balanced}  # {reasons["class_balanced"]}.
run_training.precision = {settings.precision!r}  # {reasons["precision"]}.
run_training.validate_every = {validate_every}
RunData.validation_images = {validation_images}
"""


def _choose_width(
    fingerprint: Fingerprint, multi_adds: Optional[float]
) -> Tuple[int, NetworkSizes]:
    """(F, sizes): the largest whose median network costs at most `multi_adds` billion."""
    if multi_adds is None:
        return DEFAULT_WIDTH
    costs = [_median_cost(*width, fingerprint, "total") for width in WIDTHS]
    allowed = [width for width, cost in zip(WIDTHS, costs) if cost <= multi_adds]
    if not allowed:
        height, width = fingerprint.median_size
        raise ValueError(
            f"--multi_adds={multi_adds:g}: the smallest networks cost {min(costs):.2g} billion at "
            f"{height}x{width}; give more, or smaller images."
        )
    return allowed[-1]


def _size_bindings(sizes: NetworkSizes) -> str:
    fields = dataclasses.asdict(sizes).items()
    return "".join(f"NetworkSizes.{name} = {value!r}\n" for name, value in fields)


def _median_cost(filters: int, sizes: NetworkSizes, fingerprint: Fingerprint, part: str) -> float:
    """Billions of Multi-Adds of the median random network, at the median size."""
    space = SearchSpace(num_layers=NUM_LAYERS, num_blocks=NUM_BLOCKS, filter_multiplier=filters)
    random = np.random.default_rng(0)

    def cost(genotype: Genotype) -> int:
        counted = network_cost(
            genotype,
            filters,
            len(fingerprint.class_names),
            fingerprint.median_size,
            sizes,
        )
        return getattr(counted, part).multi_adds

    return float(np.median([cost(sample_genotype(space, random)) for _ in range(100)])) / 1e9


def _largest(options, limit: float) -> int:
    """The largest option up to a limit, or the smallest."""
    return max([option for option in options if option <= limit] or [options[0]])


def config_files(directory: str) -> Dict[str, str]:
    """Paths of the gin files of a plan, by stage."""
    return {stage: os.path.join(directory, f"{stage}.gin") for stage in (SEARCH, TRAINING)}
