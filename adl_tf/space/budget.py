"""Budgets: a limit of a network's cost, and the F that fills it."""

import dataclasses
from typing import Any, Dict, Optional, Tuple

from adl_tf.space.costs import primitive_cost
from adl_tf.space.genotype import Genotype
from adl_tf.space.latency import LatencyTable
from adl_tf.space.layout import (
    Primitive,
    network_layout,
)
from adl_tf.space.network_sizes import PAPER_SIZES, NetworkSizes
from adl_tf.system.settings import Count, NotNegative, Positive, Sides

PARTS = ("total", "cells")
# What can be limited, and what its numbers count.
_UNITS = {"multi_adds": 1e9, "parameters": 1e6, "milliseconds": 1.0}


@dataclasses.dataclass(frozen=True)
class Budget:
    """A cost that the network of a genotype has to meet.

    Attributes:
      image_size: (H, W) in pixels at which Multi-Adds and milliseconds are counted.
      num_classes: number of classes.
      filter_multiplier: F of the network that is trained in the end.
      multi_adds: billions of them; or
      parameters: millions of them; or
      milliseconds: latency of the exported network on one image, on this machine.
      tolerance: relative distance allowed.
      part: "total", or "cells" for what is searched alone.
      sizes: filters of stem, ASPP and decoder.
      latency: the table that predicts milliseconds, see `serving.layer_timing`.

    Raises:
      ValueError: not one of multi_adds, parameters and milliseconds is given, or another part.
    """

    image_size: Sides
    num_classes: Count
    filter_multiplier: Count
    multi_adds: Optional[Positive] = None
    parameters: Optional[Positive] = None
    milliseconds: Optional[Positive] = None
    tolerance: NotNegative = 0.1
    part: str = "total"
    sizes: NetworkSizes = PAPER_SIZES
    latency: Optional[LatencyTable] = dataclasses.field(default=None, compare=False, repr=False)

    def __post_init__(self):
        given = {name: getattr(self, name) for name in _UNITS}
        if list(given.values()).count(None) != len(given) - 1 or self.part not in PARTS:
            raise ValueError(
                f"Budget: give one of {', '.join(given)}, and 'total' or 'cells' as part; found "
                f"{given}, {self.part!r}."
            )

    def to_dict(self) -> Dict[str, Any]:
        """The fields as JSON holds them, without the table of latencies."""
        fields = dataclasses.asdict(dataclasses.replace(self, latency=None))
        del fields["latency"]
        return fields

    @property
    def kind(self) -> str:
        """The limited quantity: multi_adds, parameters or milliseconds."""
        return next(name for name in _UNITS if getattr(self, name) is not None)

    @property
    def wanted(self) -> float:
        """Multi-Adds, parameters or milliseconds wanted."""
        return getattr(self, self.kind) * _UNITS[self.kind]

    def kernel_cost(self, primitive: Primitive) -> float:
        """Cost of one kernel of a network.

        Raises:
          ValueError: milliseconds are limited, and there is no table of them.
        """
        if self.milliseconds is None:
            return getattr(primitive_cost(primitive), self.kind)
        return self._table().milliseconds(primitive)

    def _table(self) -> LatencyTable:
        if self.latency is None:
            raise ValueError(
                "Budget.milliseconds: the layers of this machine were not measured; see "
                "serving.layer_timing.with_latency."
            )
        return self.latency

    def cost(self, genotype: Genotype) -> float:
        """Multi-Adds, parameters or milliseconds of a genotype."""
        layout = network_layout(
            genotype, self.filter_multiplier, self.num_classes, self.image_size, self.sizes
        )
        if self.part == "cells":
            return sum(map(self.kernel_cost, layout.cells))
        constant = 0 if self.milliseconds is None else self._table().coefficients.constant
        return constant + sum(self.kernel_cost(kernel) for part in layout for kernel in part)

    def with_filters(self, filter_multiplier: int) -> "Budget":
        """The same budget for another F, with stem and head in proportion."""
        factor = filter_multiplier / self.filter_multiplier
        return dataclasses.replace(
            self, filter_multiplier=filter_multiplier, sizes=self.sizes.scaled(factor)
        )

    def fill(self, genotype: Genotype) -> Tuple[int, NetworkSizes]:
        """The F with which the network of a genotype comes nearest to the budget.

        The budget's own F and sizes say the proportions of cells, stem and head. Costs never fall
        as F grows, so it is found by bisection.

        Returns:
          (filter_multiplier, sizes of stem, ASPP and decoder).

        Raises:
          ValueError: with F = 1 it costs more than the tolerance allows.
        """

        def cost(filters: int) -> float:
            return self.with_filters(filters).cost(genotype)

        least = cost(1)
        if least > self.wanted * (1 + self.tolerance):
            raise ValueError(
                f"Budget.{self.kind}: with F = 1 a network costs {least:.4g} already, more than "
                f"{self.wanted:.4g}; raise the budget, or search fewer layers or smaller images."
            )
        below, above = 1, 2
        while cost(above) < self.wanted:
            below, above = above, 2 * above
        while above - below > 1:
            middle = (below + above) // 2
            below, above = (middle, above) if cost(middle) < self.wanted else (below, middle)
        nearest = min((below, above), key=lambda filters: abs(cost(filters) - self.wanted))
        return nearest, self.with_filters(nearest).sizes
