"""Members of a study: genotypes and networks to train, and searches to run first."""

from typing import Dict, List, NamedTuple, Optional, Sequence

import numpy as np

from adl_tf.configuration import configured_sizes, configured_space
from adl_tf.models.registry import DECODED
from adl_tf.space.costs import network_cost
from adl_tf.space.genotype import KNOWN_PATHS, PRESETS, Genotype
from adl_tf.space.sampling import sample_genotype, sample_within
from adl_tf.space.search_space import SearchSpace
from adl_tf.system.settings import Count, Name, NotNegative, Number, Positive, Sides, configurable


class Member(NamedTuple):
    """One network of a study.

    Attributes:
      name: unique in the study; also the name of its directory.
      genotype: genotype of a decoded network; None where the search finds it, or for a baseline.
      filter_multiplier: F, where it is another than the study's.
      network: "decoded" or a baseline.
      width: factor of the filters of a baseline's backbone.
      search: gin files of the search that finds the genotype; empty for none.
      search_seed: seed of that search.
    """

    name: str
    genotype: Optional[Genotype] = None
    filter_multiplier: Optional[int] = None
    network: str = DECODED
    width: float = 1.0
    search: Sequence[str] = ()
    search_seed: int = 0


@configurable
def random_members(
    count: Count,
    filter_multiplier: Count,
    num_classes: Count,
    image_size: Sides,
    seed: Number = 0,
    tolerance: NotNegative = 0.03,
    name: Name = "random",
    space: Optional[SearchSpace] = None,
) -> List[Member]:
    """Random genotypes whose cells cost about the same.

    Their Multi-Adds lie within `tolerance` of the median of 200 draws.

    Args:
      count: how many.
      filter_multiplier: F at which costs are compared.
      num_classes: number of classes of the data.
      image_size: (H, W) in pixels at which costs are compared.
      seed: seed of the draws.
      tolerance: relative distance of the cells' Multi-Adds.
      name: start of the members' names.
      space: what to draw from; None for the one that gin binds.
    """
    space, sizes = space or configured_space(), configured_sizes()

    def cost(genotype):
        return network_cost(
            genotype, filter_multiplier, num_classes, tuple(image_size), sizes
        ).cells.multi_adds

    random = np.random.default_rng(seed)
    wanted = float(np.median([cost(sample_genotype(space, random)) for _ in range(200)]))
    draws = sample_within(space, random, cost, wanted, tolerance)
    return [Member(f"{name}_{index:02d}", next(draws)) for index in range(count)]


@configurable
def default_path_members(
    count: Count, seed: Number = 0, space: Optional[SearchSpace] = None
) -> List[Member]:
    """Random cells on the path that the paper's rule decodes untrained betas to: stride 4."""
    space = space or configured_space()
    random = np.random.default_rng(seed)
    cells = [sample_genotype(space, random).cell for _ in range(count)]
    path = (0,) * space.num_layers
    return [
        Member(f"stride_4_{index:02d}", Genotype(path, cell)) for index, cell in enumerate(cells)
    ]


@configurable
def known_path_members(filter_multipliers: Dict[Name, Count]) -> List[Member]:
    """The paper's cell on its own path and on those of known networks (paper, figures 2 and 3).

    Args:
      filter_multipliers: F of each of "auto_deeplab", "deeplabv3", "conv_deconv" and
        "stacked_hourglass" that takes part.
    """
    cell = PRESETS["auto_deeplab"].cell
    paths = {"auto_deeplab": PRESETS["auto_deeplab"].path, **KNOWN_PATHS}
    unknown = sorted(set(filter_multipliers) - set(paths))
    if unknown:
        raise ValueError(f"known_path_members: unknown {unknown}; choose from {list(paths)}.")
    return [
        Member(name, Genotype(paths[name], cell), filter_multiplier)
        for name, filter_multiplier in filter_multipliers.items()
    ]


@configurable
def baseline_members(widths: Dict[Name, Positive]) -> List[Member]:
    """Baselines, by their names in the registry, with a factor of their backbone's filters."""
    return [Member(name, network=name, width=width) for name, width in widths.items()]


@configurable
def search_members(name: Name, gin_files: Sequence[Name], seeds: Sequence[Number]) -> List[Member]:
    """Searches, each followed by the training of what it found, at the F that it found.

    Args:
      name: start of the members' names; the seed follows.
      gin_files: gin files, and bindings such as "STEPS = 500", of the searches.
      seeds: seeds of the searches.
    """
    return [Member(f"{name}_{seed}", search=tuple(gin_files), search_seed=seed) for seed in seeds]
