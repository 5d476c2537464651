"""What a network may cost."""

from typing import NamedTuple, Optional, Tuple

from adl_tf.space.costs import network_cost
from adl_tf.space.genotype import Genotype
from adl_tf.space.network_sizes import PAPER_SIZES, NetworkSizes


class Budget(NamedTuple):
    """A cost that the network of a genotype has to meet.

    Attributes:
      image_size: (H, W) in pixels at which Multi-Adds are counted.
      num_classes: number of classes.
      filter_multiplier: F of the network that is trained in the end.
      multi_adds: billions of them; None for any.
      parameters: millions of them; None for any.
      tolerance: relative distance allowed.
      sizes: of stem, ASPP and decoder.
    """

    image_size: Tuple[int, int]
    num_classes: int
    filter_multiplier: int
    multi_adds: Optional[float] = None
    parameters: Optional[float] = None
    tolerance: float = 0.1
    sizes: NetworkSizes = PAPER_SIZES

    def excess(self, genotype: Genotype) -> float:
        """How far a genotype is from the budget, relative to it: below 0 is too cheap.

        Of two costs wanted, that of the larger distance.
        """
        cost = network_cost(
            genotype, self.filter_multiplier, self.num_classes, self.image_size, self.sizes
        ).total
        distances = [
            found / wanted - 1
            for found, wanted in (
                (cost.multi_adds / 1e9, self.multi_adds),
                (cost.parameters / 1e6, self.parameters),
            )
            if wanted is not None
        ]
        return max(distances, key=abs, default=0.0)

    def met_by(self, genotype: Genotype) -> bool:
        """Whether a genotype costs what the budget says."""
        return abs(self.excess(genotype)) <= self.tolerance
