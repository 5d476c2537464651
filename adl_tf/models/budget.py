"""Random genotypes whose networks have a given cost."""

import gc
from typing import NamedTuple, Optional, Tuple

import numpy as np

from adl_tf.configuration import say
from adl_tf.models.auto_deeplab import DecodedNetwork
from adl_tf.models.counting import count_multi_adds
from adl_tf.space.genotype import Genotype
from adl_tf.space.sampling import sample_genotype
from adl_tf.space.search_space import SearchSpace


class Sample(NamedTuple):
    """A genotype, and the Multi-Adds of its network for one image."""

    genotype: Genotype
    multi_adds: int


def sample_within(
    space: SearchSpace,
    seed: int,
    multi_adds: Optional[float] = None,
    tolerance: float = 0.05,
    attempts: int = 50,
    filter_multiplier: int = 20,
    num_classes: int = 19,
    image_size: Tuple[int, int] = (1025, 2049),
) -> Sample:
    """Draws genotypes until the network of one has the target Multi-Adds.

    Each draw is reported on stderr.

    Args:
      space: what to draw from, see `sample_genotype`.
      seed: of the draws.
      multi_adds: target for one image; None takes the first draw.
      tolerance: allowed relative deviation.
      attempts: draws before giving up.
      filter_multiplier: F of the networks.
      num_classes: of the networks.
      image_size: (H, W) in pixels.

    Raises:
      ValueError: no draw is close enough.
    """
    random = np.random.default_rng(seed)
    counted = []
    for attempt in range(attempts):
        genotype = sample_genotype(space, random)
        network = DecodedNetwork(genotype, filter_multiplier, num_classes)
        found = sum(count_multi_adds(network, image_size).values())
        del network
        gc.collect()  # Keras objects form reference cycles.
        if multi_adds is None:
            return Sample(genotype, found)
        say(f"{attempt + 1}: {found / 1e9:.2f} billion Multi-Adds")
        if abs(found / multi_adds - 1) <= tolerance:
            return Sample(genotype, found)
        counted.append(found)
    nearest = min(counted, key=lambda found: abs(found / multi_adds - 1))
    raise ValueError(
        f"none of {attempts} genotypes is within {tolerance:.0%} of "
        f"{multi_adds / 1e9:g} billion Multi-Adds; the closest has {nearest / 1e9:.2f}: "
        "change --filter_multiplier, --tolerance or --attempts."
    )
