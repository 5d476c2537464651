"""Settings that do not depend on the machine: crops, batches, costs, and initial weights.

Pure functions of a fingerprint and of what the user asks for.
"""

import dataclasses
import functools
import math
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import numpy as np

from adl_tf.data.description import Size
from adl_tf.planning.fingerprint import TRAIN, Fingerprint
from adl_tf.space.costs import network_cost
from adl_tf.space.genotype import Genotype
from adl_tf.space.network_sizes import NetworkSizes
from adl_tf.space.sampling import sample_genotype
from adl_tf.space.search_space import SearchSpace

# At one latency, few layers and blocks with a larger F learn best (benchmarks/RESULTS.md).
NUM_LAYERS, NUM_BLOCKS = 5, 2
# F, and stem and head in proportion to the cells: of the network that is planned without a limit,
# and of the smallest one.
DEFAULT_WIDTH = 20, NetworkSizes(stem=(20, 20, 40), aspp=80, low_level=30, decoder=80)
_LEAST_WIDTH = 4, NetworkSizes(stem=(4, 4, 8), aspp=16, low_level=6, decoder=16)
# Sides of crops; one more than a multiple of 32 keeps the corners of all strides aligned.
CROPS = tuple(range(97, 770, 32))
# Of the median short side: the largest crop of a training, and of a search, which trains many.
LARGEST_CROP, LARGEST_SEARCH_CROP = 0.75, 0.4
# Hours, and the longest short side in pixels that a training of so many hours makes use of.
_SHORT_SIDES = ((0.25, 384), (1.0, 512), (4.0, 768), (math.inf, 1024))
# Images, below which a search has too little to tell genotypes apart by.
FEW_IMAGES = 20
# Most frequent over rarest class, from which on pixels are weighted.
IMBALANCED = 10.0

# What a training starts from: what a search finds, the weights of a network that comes with the
# package, or a genotype that is there already.
SEARCHED, PRESET, GENOTYPE = "search", "preset", "genotype"


@dataclasses.dataclass(frozen=True)
class Settings:
    """Settings that do not depend on how fast the machine is.

    Attributes:
      crop_size: side of crops in pixels.
      batch_size: images per step.
      multi_adds: billions that the network costs at the median size; F fills them.
      class_balanced: whether pixels of rare classes weigh more.
      precision: see `run_training`.
      distribution: see `distribution_strategy.kind`.
      image_size: (H, W) of the median image.
      reasons: by setting.
    """

    crop_size: int
    batch_size: int
    multi_adds: float
    class_balanced: bool
    precision: str
    distribution: Optional[str]
    image_size: Tuple[int, int]
    reasons: Dict[str, str]

    @property
    def short_side(self) -> int:
        """That of the median image, in pixels."""
        return min(self.image_size)

    def with_setting(self, name: str, value: Any, reason: str) -> "Settings":
        """The same with one setting changed."""
        return dataclasses.replace(self, **{name: value}, reasons={**self.reasons, name: reason})


class Start(NamedTuple):
    """Initial weights of a training.

    Attributes:
      kind: SEARCHED, PRESET or GENOTYPE.
      reason: for people.
      multi_adds: billions of Multi-Adds of a network whose F is given; None where F fills those of
        the settings.
    """

    kind: str
    reason: str
    multi_adds: Optional[float] = None


def choose_settings(
    fingerprint: Fingerprint, multi_adds: Optional[float], gpus: int = 0
) -> Settings:
    """Chooses what does not depend on how fast the machine is.

    Args:
      fingerprint: fingerprint of the data set.
      multi_adds: billions that the network may cost at the median size; None for a small network.
      gpus: how many there are, which share each batch.

    Raises:
      ValueError: no network of this space costs so little.
    """
    height, width = fingerprint.median_size
    shape = len(fingerprint.class_names), (height, width)
    least = median_cost(*_LEAST_WIDTH, *shape)
    if multi_adds is not None and multi_adds < least:
        raise ValueError(
            f"--multi_adds={multi_adds:g}: the smallest networks cost {least:.2g} billion at "
            f"{height}x{width}; give more, or smaller images."
        )
    # A search halves the images, and each GPU needs one of each half.
    too_few = fingerprint.examples[TRAIN] < 2 * gpus
    gpus = min(gpus, 1) if too_few else gpus
    imbalance = fingerprint.imbalance
    crop = largest_crop(LARGEST_CROP, min(height, width))
    return Settings(
        crop_size=crop,
        batch_size=_batch_size(fingerprint.examples[TRAIN], gpus),
        multi_adds=multi_adds or round(median_cost(*DEFAULT_WIDTH, *shape), 3),
        class_balanced=imbalance > IMBALANCED,
        precision="mixed_float16" if gpus else "float32",
        distribution="single" if too_few else None,
        image_size=(height, width),
        reasons={
            "crop_size": describe_crop(crop, min(height, width)),
            "batch_size": "enough for batch norm, and few enough for many steps"
            + (f"; shared by {gpus} GPUs" if gpus > 1 else ""),
            "multi_adds": (
                "given: billions at the median size, which F fills"
                if multi_adds
                else "billions at the median size, which F fills: a small network; give "
                "--multi_adds for another"
            ),
            "class_balanced": f"the most frequent class has {imbalance:.0f} times the pixels of "
            "the rarest",
            "precision": "what is fastest on a GPU" if gpus else "what is fastest on a processor",
        },
    )


def possible_starts(
    images: int,
    preset: str,
    preset_cost: float,
    multi_adds: Optional[float] = None,
    search: Optional[bool] = None,
    given: Optional[str] = None,
    given_cost: Optional[float] = None,
) -> List[Start]:
    """Possible initial weights of the training, the best first; the later ones take less time.

    Args:
      images: to train on.
      preset: the network that comes with the package.
      preset_cost: billions of Multi-Adds of it at the median size.
      multi_adds: billions that the network may cost; None for no limit.
      search: whether to search; None leaves it to the plan.
      given: PRESET or GENOTYPE where the user has given one.
      given_cost: billions of Multi-Adds of a genotype whose F is given, too.

    Raises:
      ValueError: what was asked for cannot be had.
    """
    if given and search:
        raise ValueError(f"--search=on: --{given} says what is trained; leave one of them out.")
    cost = preset_cost if given == PRESET else given_cost
    if given and cost and multi_adds and cost > multi_adds:
        raise ValueError(
            f"--multi_adds={multi_adds:g}: the network of --{given} costs {cost:.2g} billion at "
            "the median size; leave one of them out."
        )
    if given:
        return [Start(given, f"given by --{given}", cost)]
    if search and images < 2:
        raise ValueError("--search=on: a search divides the training images, and there is one.")
    if search:
        return [Start(SEARCHED, "given by --search=on")]

    def without_search(why: str) -> Start:
        if multi_adds is None or preset_cost <= multi_adds:
            return Start(PRESET, f"{why}: the weights of {preset!r} are trained on", preset_cost)
        return Start(
            GENOTYPE,
            f"{why}, and the weights of {preset!r} cost more than --multi_adds: its architecture "
            "is trained from scratch",
        )

    if search is False:
        return [without_search("--search=off")]
    if images < FEW_IMAGES:
        return [without_search(f"{images} images are too few to tell networks apart")]
    fallback = without_search("the hours are too few for a search and the training after it")
    both = f"; {preset!r} was possible, too" if fallback.kind == PRESET else ""
    return [
        Start(
            SEARCHED,
            f"{images} images tell networks apart, and a search fits into the hours{both}",
        ),
        fallback,
    ]


def usable_short_side(hours: float) -> int:
    """The longest short side of images, in pixels, that a run of so many hours makes use of.

    Crops that its steps leave time for would show too little of larger ones.
    """
    return next(side for most, side in _SHORT_SIDES if hours <= most)


def largest_crop(share: float, short_side: int) -> int:
    """The largest crop up to a share of a side, or the smallest of all."""
    return max([crop for crop in CROPS if crop <= share * short_side] or [CROPS[0]])


def describe_crop(crop: int, short_side: int) -> str:
    """Share of its images that a crop covers."""
    return f"{crop / short_side:.0%} of the median short side, {short_side}"


@functools.cache
def median_cost(filters: int, sizes: NetworkSizes, classes: int, image_size: Size) -> float:
    """Billions of Multi-Adds of the median random network."""
    space = SearchSpace(num_layers=NUM_LAYERS, num_blocks=NUM_BLOCKS, filter_multiplier=filters)
    random = np.random.default_rng(0)
    genotypes = [sample_genotype(space, random) for _ in range(100)]
    costs = [network_cost(each, filters, classes, image_size, sizes) for each in genotypes]
    return float(np.median([cost.total.multi_adds for cost in costs])) / 1e9


def billions(
    genotype: Genotype, filters: int, sizes: NetworkSizes, fingerprint: Fingerprint
) -> float:
    """Billions of Multi-Adds of a network at the median size."""
    classes, size = len(fingerprint.class_names), fingerprint.median_size
    return network_cost(genotype, filters, classes, size, sizes).total.multi_adds / 1e9


def _batch_size(images: int, gpus: int) -> int:
    """Half of the images at most, which a search halves; equal shares for the GPUs."""
    devices = max(1, gpus)
    batch = min(max(8, 2 * gpus) if gpus else 4, max(1, images // 2))
    return max(devices, batch // devices * devices)
