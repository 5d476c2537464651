"""Cost of the network of a genotype at an image size, without building it.

Counts what `models.counting` counts in the graph of the built network, by the same rules: one
multiplication and its addition are one Multi-Add; convolutions and matrix products count, batch
norm, activations, pooling and resizing do not; an atrous convolution of rate r counts in whole
phases, its sides rounded up to multiples of r.

The costs of the kernels are kept, since genotypes of one space are made of the same ones: after the
first, counting a genotype takes a fifth of a millisecond.
"""

import functools
from typing import Any, Dict, Iterable, NamedTuple

from adl_tf.space.genotype import Genotype
from adl_tf.space.layout import (
    ARGMAX,
    CONCATENATION,
    CONVOLUTION,
    DEPTHWISE,
    ELEMENTWISE,
    RESIZE,
    Primitive,
    Size,
    network_layout,
)
from adl_tf.space.network_sizes import PAPER_SIZES, NetworkSizes
from adl_tf.space.ops import POOLS

_FREE = (*POOLS, RESIZE, ELEMENTWISE, CONCATENATION, ARGMAX)


class Cost(NamedTuple):
    """The cost of a network or of a part of it, for one image.

    Attributes:
      parameters: trainable parameters, batch norm's scales and offsets included.
      multi_adds: multiplications with their additions.
      activations: numbers that its convolutions put out (Radosavovic et al.,
        https://arxiv.org/abs/2003.13678, section 3.4); on accelerators and in memory-bound
        networks they predict the time better than Multi-Adds do.
    """

    parameters: int = 0
    multi_adds: int = 0
    activations: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return add_costs((self, other))


def add_costs(costs: Iterable[Cost]) -> Cost:
    """The sum of costs; there is at least one."""
    return Cost(*map(sum, zip(*costs)))


class NetworkCost(NamedTuple):
    """The cost of a decoded network by part.

    Attributes:
      stem, cells, head: the three convolutions at the start; everything that is searched; ASPP
        and decoder.
    """

    stem: Cost
    cells: Cost
    head: Cost

    @property
    def total(self) -> Cost:
        """The cost of the whole network."""
        return self.stem + self.cells + self.head

    def summary(self) -> Dict[str, Any]:
        """Totals, and Multi-Adds by part, as the programs print them."""
        return {
            **self.total._asdict(),
            "multi_adds_by_part": {name: part.multi_adds for name, part in zip(self._fields, self)},
        }


@functools.cache
def primitive_cost(primitive: Primitive) -> Cost:
    """The cost of one kernel; pools, resizing and elementwise ones cost nothing.

    Raises:
      ValueError: a primitive of an unknown kind.
    """
    if primitive.kind in _FREE:
        return Cost()
    if primitive.kind not in (CONVOLUTION, DEPTHWISE):
        raise ValueError(f"nothing says what a primitive of the kind {primitive.kind!r} costs.")
    weights = primitive.kernel**2 * primitive.channels
    if primitive.kind == CONVOLUTION:
        weights *= primitive.filters
    height, width = primitive.size
    padded = [side + -side % primitive.rate for side in primitive.size]
    return Cost(
        weights + primitive.affine * primitive.filters,
        padded[0] * padded[1] * weights,
        height * width * primitive.filters,
    )


def total_cost(primitives: Iterable[Primitive]) -> Cost:
    """The cost of several kernels."""
    return add_costs((Cost(), *map(primitive_cost, primitives)))


def network_cost(
    genotype: Genotype,
    filter_multiplier: int,
    num_classes: int,
    image_size: Size,
    sizes: NetworkSizes = PAPER_SIZES,
) -> NetworkCost:
    """Parameters, Multi-Adds and activations of a `DecodedNetwork`, for one image.

    Example:
      >>> from adl_tf.space.genotype import PRESETS
      >>> network_cost(PRESETS["auto_deeplab"], 20, 19, (1025, 2049)).total.parameters
      10147427

    Args:
      genotype: genotype of the network.
      filter_multiplier: F.
      num_classes: number of classes.
      image_size: (H, W) in pixels.
      sizes: filters of stem, ASPP and decoder.
    """
    layout = network_layout(genotype, filter_multiplier, num_classes, image_size, sizes)
    return NetworkCost(*map(total_cost, layout))
