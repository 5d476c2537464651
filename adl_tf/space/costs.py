"""What the network of a genotype costs at an image size, without building it.

Counts what `models.counting` counts in the graph of the built network, by the same rules: one
multiplication and its addition are one Multi-Add; convolutions and matrix products count, batch
norm, activations, pooling and resizing do not; an atrous convolution of rate r counts in whole
phases, its sides rounded up to multiples of r.

The costs of the parts are kept, since genotypes of one space are made of the same ones: after the
first, counting a genotype takes tens of microseconds.
"""

import functools
from collections import Counter
from typing import Any, Dict, Iterable, List, NamedTuple, Tuple

from adl_tf.space.genotype import Genotype
from adl_tf.space.network_sizes import PAPER_SIZES, NetworkSizes
from adl_tf.space.ops import ATROUS, ATROUS_RATE, SEPARABLE, SKIP, get_op
from adl_tf.space.search_space import CELL_INPUTS, aspp_rates, halve

Size = Tuple[int, int]


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


def convolution_cost(
    size: Size, channels: int, filters: int, kernel: int = 1, rate: int = 1
) -> Cost:
    """A full convolution and its batch norm.

    Args:
      size: (H, W) of the output.
      channels: of the input.
      filters: channels of the output.
      kernel: side of the kernel.
      rate: atrous rate.
    """
    weights = kernel * kernel * channels * filters
    return Cost(
        weights + 2 * filters,
        _area(size, rate) * weights,
        size[0] * size[1] * filters,
    )


def separable_cost(
    size: Size, channels: int, filters: int, kernel: int, rate: int = 1, inner_norm: bool = False
) -> Cost:
    """A depthwise convolution, a 1x1 convolution and its batch norm, see `convolution_cost`.

    Args:
      inner_norm: whether the depthwise convolution has a batch norm, too.
    """
    weights = kernel * kernel * channels
    depthwise = Cost(
        weights + 2 * channels * inner_norm,
        _area(size, rate) * weights,
        size[0] * size[1] * channels,
    )
    return depthwise + convolution_cost(size, channels, filters)


def _area(size: Size, rate: int) -> int:
    height, width = (side + -side % rate for side in size)
    return height * width


def sizes_of_levels(image_size: Size, levels: int) -> List[Size]:
    """(H, W) of the features of each level, stride 4 first."""
    found = [halve(halve(tuple(image_size)))]
    while len(found) < levels:
        found.append(halve(found[-1]))
    return found


@functools.cache
def op_cost(op: str, filters: int, size: Size, stride: int = 1) -> Cost:
    """One op of a decoded cell.

    Args:
      op: name in the table of ops.
      filters: channels of input and output.
      size: (H, W) of the output.
      stride: 1, or 2 on a cell input on a move down.
    """
    entry = get_op(op)
    if entry.kind == SEPARABLE:  # Applied twice.
        once = separable_cost(size, filters, filters, entry.kernel)
        return once + once
    if entry.kind == ATROUS:
        rate = ATROUS_RATE if stride == 1 else 1
        return convolution_cost(size, filters, filters, entry.kernel, rate)
    if entry.kind == SKIP and stride == 2:
        return convolution_cost(size, filters, filters)
    return Cost()


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
      genotype: of the network.
      filter_multiplier: F.
      num_classes: number of classes.
      image_size: (H, W) in pixels.
      sizes: of stem, ASPP and decoder.
    """
    path = tuple(genotype.path)
    level_sizes = sizes_of_levels(image_size, max(path) + 1)
    blocks = len(genotype.cell)
    # How often each op is on an input of the cell, and inside of it.
    edges = Counter((op, source < CELL_INPUTS) for block in genotype.cell for source, op in block)

    costs = []
    before_previous, previous = sizes.stem[1:]  # Channels.
    for level, last in zip(path, (0, *path)):
        filters = filter_multiplier * 2**level
        size = level_sizes[level]
        # A move up resizes the inputs before they are projected, a move down halves in the ops.
        read = level_sizes[min(level, last)]
        costs.append(_inputs_cost(read, previous, before_previous, filters))
        for (op, from_input), count in edges.items():
            stride = 2 if from_input and level > last else 1
            costs.append(_ops_cost(op, filters, size, stride, count))
        before_previous, previous = previous, blocks * filters

    return NetworkCost(
        _stem_cost(tuple(image_size), sizes),
        add_costs(costs),
        _aspp_cost(level_sizes[path[-1]], path[-1], previous, sizes)
        + _decoder_cost(level_sizes[0], blocks * filter_multiplier, num_classes, sizes),
    )


@functools.cache
def _stem_cost(image_size: Size, sizes: NetworkSizes) -> Cost:
    half = halve(image_size)
    first, second, third = sizes.stem
    return (
        convolution_cost(half, 3, first, 3)
        + convolution_cost(half, first, second, 3)
        + convolution_cost(halve(half), second, third, 3)
    )


@functools.cache
def _inputs_cost(size: Size, previous: int, before_previous: int, filters: int) -> Cost:
    """The projections of a cell's two inputs."""
    return convolution_cost(size, previous, filters) + convolution_cost(
        size, before_previous, filters
    )


@functools.cache
def _ops_cost(op: str, filters: int, size: Size, stride: int, count: int) -> Cost:
    return Cost(*(count * number for number in op_cost(op, filters, size, stride)))


def _head_convolution(size, channels, filters, sizes, rate=1) -> Cost:
    if sizes.separable_head:
        return separable_cost(size, channels, filters, 3, rate, inner_norm=True)
    return convolution_cost(size, channels, filters, 3, rate)


@functools.cache
def _aspp_cost(size: Size, level: int, channels: int, sizes: NetworkSizes) -> Cost:
    cost = convolution_cost((1, 1), channels, sizes.aspp)
    cost += convolution_cost(size, channels, sizes.aspp)
    for rate in aspp_rates(level):
        cost += _head_convolution(size, channels, sizes.aspp, sizes, rate)
    return cost + convolution_cost(size, 5 * sizes.aspp, sizes.aspp)


@functools.cache
def _decoder_cost(size: Size, channels: int, num_classes: int, sizes: NetworkSizes) -> Cost:
    cost = convolution_cost(size, channels, sizes.low_level)
    cost += _head_convolution(size, sizes.aspp + sizes.low_level, sizes.decoder, sizes)
    cost += _head_convolution(size, sizes.decoder, sizes.decoder, sizes)
    classifier = convolution_cost(size, sizes.decoder, num_classes)
    # A bias instead of a batch norm.
    return cost + classifier._replace(parameters=(sizes.decoder + 1) * num_classes)
