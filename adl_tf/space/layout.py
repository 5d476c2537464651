"""The parts of a decoded network: the layers along its path, and the primitives of each.

This is the one walk along a path. Networks are built from its layers; costs and latencies are sums
over its primitives, the convolutions, pools and other kernels that the exported network runs once
its batch norms are folded.
"""

import functools
from typing import List, NamedTuple, Sequence, Tuple

from adl_tf.space.genotype import Block, Genotype
from adl_tf.space.network_sizes import PAPER_SIZES, NetworkSizes
from adl_tf.space.ops import (
    ATROUS,
    ATROUS_RATE,
    AVERAGE_POOL,
    MAX_POOL,
    SEPARABLE,
    SKIP,
    ZERO,
    Op,
    get_op,
)
from adl_tf.space.search_space import (
    CELL_INPUTS,
    MOVE_OFFSETS,
    MOVES,
    STEM_STRIDE,
    aspp_rates,
    level_stride,
)

Size = Tuple[int, int]

IMAGE_CHANNELS = 3
_HALF = STEM_STRIDE // 2  # Stride of the stem's second convolution, which the first cell reads.

# Kinds of primitives, beside MAX_POOL and AVERAGE_POOL.
CONVOLUTION = "convolution"
DEPTHWISE = "depthwise"
RESIZE = "resize"
ELEMENTWISE = "elementwise"  # Relu, sums, and the image's normalization.
CONCATENATION = "concatenation"
ARGMAX = "argmax"


class Features(NamedTuple):
    """A feature map: its stride with respect to the image, and its channels."""

    stride: int
    channels: int


class LayerPlan(NamedTuple):
    """One layer of a path: a cell, and what it reads.

    Attributes:
      level: 0 at stride 4.
      stride: stride of its output with respect to the image.
      move: "up", "stay" or "down", from the layer before.
      filters: filters of each block, F * s / 4.
      inputs: H^(l-1) and H^(l-2).
      read_stride: at which both inputs are projected: after a move up, before a move down.
      output: the concatenated blocks.
    """

    level: int
    stride: int
    move: str
    filters: int
    inputs: Tuple[Features, Features]
    read_stride: int
    output: Features


def plan_layers(
    path: Sequence[int],
    num_blocks: int,
    filter_multiplier: int,
    stem: Sequence[int] = PAPER_SIZES.stem,
) -> List[LayerPlan]:
    """The layers along a path, from the stem to the last cell.

    Example:
      >>> for plan in plan_layers((0, 1), num_blocks=2, filter_multiplier=8):
      ...     print(plan.stride, plan.move, plan.filters, [tuple(x) for x in plan.inputs])
      4 stay 8 [(4, 128), (2, 64)]
      8 down 16 [(4, 16), (4, 128)]

    Args:
      path: level of each layer.
      num_blocks: blocks of the cell.
      filter_multiplier: F.
      stem: filters of the stem's three convolutions.
    """
    plans: List[LayerPlan] = []
    before_previous, previous = Features(_HALF, stem[1]), Features(STEM_STRIDE, stem[2])
    last = path[0]
    for level in path:
        stride, filters = level_stride(level), filter_multiplier * 2**level
        plan = LayerPlan(
            level=level,
            stride=stride,
            move=MOVES[MOVE_OFFSETS.index(level - last)],
            filters=filters,
            inputs=(previous, before_previous),
            read_stride=min(stride, previous.stride),
            output=Features(stride, num_blocks * filters),
        )
        plans.append(plan)
        before_previous, previous, last = previous, plan.output, level
    return plans


def size_at(image_size: Size, stride: int) -> Size:
    """(H, W) of the features at a stride; each halving rounds up."""
    return tuple(-(-side // stride) for side in image_size)


class Primitive(NamedTuple):
    """One kernel of the exported network.

    Attributes:
      kind: CONVOLUTION, DEPTHWISE, MAX_POOL, AVERAGE_POOL, RESIZE, ELEMENTWISE, CONCATENATION or
        ARGMAX.
      size: (H, W) of the output.
      channels: channels of the input.
      filters: channels of the output.
      kernel: side of the kernel or window.
      stride: 1 or 2.
      rate: atrous rate.
      affine: parameters of a filter beside its kernel: two by batch norm, one by a bias.
    """

    kind: str
    size: Size
    channels: int
    filters: int
    kernel: int = 1
    stride: int = 1
    rate: int = 1
    affine: int = 0


class NetworkLayout(NamedTuple):
    """The primitives of a decoded network by part.

    Attributes:
      stem, cells, head: the image's normalization and three convolutions; everything that is
        searched; ASPP, decoder and labels.
    """

    stem: Tuple[Primitive, ...]
    cells: Tuple[Primitive, ...]
    head: Tuple[Primitive, ...]


def network_layout(
    genotype: Genotype,
    filter_multiplier: int,
    num_classes: int,
    image_size: Size,
    sizes: NetworkSizes = PAPER_SIZES,
) -> NetworkLayout:
    """The primitives of a `DecodedNetwork` that labels one image.

    Args:
      genotype: genotype of the network.
      filter_multiplier: F.
      num_classes: number of classes.
      image_size: (H, W) in pixels.
      sizes: filters of stem, ASPP and decoder.
    """
    image_size = tuple(image_size)
    plans = plan_layers(genotype.path, len(genotype.cell), filter_multiplier, sizes.stem)
    cells = [part for plan in plans for part in cell_primitives(plan, genotype.cell, image_size)]
    last, fine = plans[-1], plans[0].output
    coarse = size_at(image_size, last.stride)
    return NetworkLayout(
        stem=_stem_primitives(image_size, sizes.stem),
        cells=tuple(cells),
        head=(
            *_aspp_primitives(coarse, last.level, last.output.channels, sizes),
            *_decoder_primitives(coarse, fine, num_classes, image_size, sizes),
        ),
    )


def _convolution(
    size: Size, channels: int, filters: int, kernel: int = 1, stride: int = 1, rate: int = 1
) -> Primitive:
    """With a batch norm, which is folded into it."""
    return Primitive(CONVOLUTION, size, channels, filters, kernel, stride, rate, affine=2)


def _elementwise(size: Size, channels: int) -> Primitive:
    return Primitive(ELEMENTWISE, size, channels, channels)


def _resize(size: Size, channels: int) -> Primitive:
    return Primitive(RESIZE, size, channels, channels)


def _concatenation(size: Size, channels: int) -> Primitive:
    return Primitive(CONCATENATION, size, channels, channels)


@functools.cache
def _stem_primitives(image_size: Size, stem: Tuple[int, int, int]) -> Tuple[Primitive, ...]:
    half, quarter = size_at(image_size, _HALF), size_at(image_size, STEM_STRIDE)
    first, second, third = stem
    return (
        *(_elementwise(image_size, IMAGE_CHANNELS) for _ in range(3)),  # Cast, scale, shift.
        _convolution(half, IMAGE_CHANNELS, first, 3, stride=2),
        _elementwise(half, first),
        _convolution(half, first, second, 3),
        _elementwise(half, second),
        _convolution(quarter, second, third, 3, stride=2),
    )


def cell_primitives(
    plan: LayerPlan, cell: Tuple[Block, ...], image_size: Size
) -> Tuple[Primitive, ...]:
    """The primitives of one layer, its two projections included.

    A relu that several readers share counts once: the exported graph holds it once.
    """
    read, size = size_at(image_size, plan.read_stride), size_at(image_size, plan.stride)
    found: List[Primitive] = []
    for index, features in enumerate(plan.inputs):
        resized = size_at(image_size, features.stride) != read
        if resized:
            found.append(_resize(read, features.channels))
        if resized or index == 0:  # Else the layer before has read it.
            found.append(_elementwise(read, features.channels))
        found.append(_convolution(read, features.channels, plan.filters))
    active = set()
    for block in cell:
        for source, op in block:
            reads_input = source < CELL_INPUTS
            stride = 2 if plan.move == "down" and reads_input else 1
            where = read if reads_input else size
            primitives = op_primitives(op, plan.filters, where, stride)
            relu = _elementwise(where, plan.filters)
            if primitives[:1] == (relu,):
                found.extend(primitives[source in active :])
                active.add(source)
            else:
                found.extend(primitives)
        found.append(_elementwise(size, plan.filters))  # The sum.
    if len(cell) > 1:
        found.append(_concatenation(size, plan.output.channels))
    return tuple(found)


@functools.cache
def op_primitives(op: str, filters: int, size: Size, stride: int = 1) -> Tuple[Primitive, ...]:
    """The primitives of one op of a cell, its relu first where it has one.

    Args:
      op: name in the table of ops.
      filters: channels of input and output.
      size: (H, W) of the input.
      stride: 1, or 2 on a cell input on a move down.

    Raises:
      ValueError: an unknown op, or one of a kind that is not described here.
    """
    entry = get_op(op)
    if entry.kind not in _OF_KIND:
        raise ValueError(
            f"op {op!r}: nothing says what the kind {entry.kind!r} is made of; add it to "
            "space/layout.py."
        )
    output = size_at(size, stride)
    return _OF_KIND[entry.kind](entry, filters, size, output, stride)


def _no_primitives(op: Op, filters: int, size: Size, output: Size, stride: int):
    return ()


def _skip(op: Op, filters: int, size: Size, output: Size, stride: int):
    if stride == 1:
        return ()
    return _elementwise(size, filters), _convolution(output, filters, filters, stride=stride)


def _pool(op: Op, filters: int, size: Size, output: Size, stride: int):
    return (Primitive(op.kind, output, filters, filters, op.kernel, stride),)


def _separable(op: Op, filters: int, size: Size, output: Size, stride: int):
    """Applied twice; only the first has the stride."""
    return (
        _elementwise(size, filters),
        Primitive(DEPTHWISE, output, filters, filters, op.kernel, stride),
        _convolution(output, filters, filters),
        _elementwise(output, filters),
        Primitive(DEPTHWISE, output, filters, filters, op.kernel),
        _convolution(output, filters, filters),
    )


def _atrous(op: Op, filters: int, size: Size, output: Size, stride: int):
    """At stride 2 the features are resized instead, and the kernel is dense."""
    if stride == 1:
        convolution = _convolution(output, filters, filters, op.kernel, rate=ATROUS_RATE)
        return _elementwise(size, filters), convolution
    return (
        _elementwise(size, filters),
        _resize(output, filters),
        _convolution(output, filters, filters, op.kernel),
    )


_OF_KIND = {
    ZERO: _no_primitives,
    SKIP: _skip,
    MAX_POOL: _pool,
    AVERAGE_POOL: _pool,
    SEPARABLE: _separable,
    ATROUS: _atrous,
}


def _head_convolution(
    size: Size, channels: int, filters: int, separable: bool, rate: int = 1
) -> Tuple[Primitive, ...]:
    """A 3x3 convolution of ASPP or decoder with its relu."""
    if not separable:
        return (
            _convolution(size, channels, filters, 3, rate=rate),
            _elementwise(size, filters),
        )
    return (
        Primitive(DEPTHWISE, size, channels, channels, 3, rate=rate, affine=2),
        _elementwise(size, channels),  # Its batch norm, which stays.
        _elementwise(size, channels),
        _convolution(size, channels, filters),
        _elementwise(size, filters),
    )


@functools.cache
def _aspp_primitives(
    size: Size, level: int, channels: int, sizes: NetworkSizes
) -> Tuple[Primitive, ...]:
    filters = sizes.aspp
    found = [
        _elementwise(size, channels),
        _elementwise(size, channels),  # The mean over the image.
        _convolution((1, 1), channels, filters),
        _elementwise(size, filters),  # The mean, copied to each pixel.
        _convolution(size, channels, filters),
        _elementwise(size, filters),
    ]
    for rate in aspp_rates(level):
        found += _head_convolution(size, channels, filters, sizes.separable_head, rate)
    found += [
        _concatenation(size, 5 * filters),
        _convolution(size, 5 * filters, filters),
        _elementwise(size, filters),
    ]
    return tuple(found)


@functools.cache
def _decoder_primitives(
    coarse: Size, fine: Features, num_classes: int, image_size: Size, sizes: NetworkSizes
) -> Tuple[Primitive, ...]:
    """From ASPP's output and the finer features to labels at the size of the image."""
    size = size_at(image_size, fine.stride)
    joined = sizes.aspp + sizes.low_level
    resized = [_resize(size, sizes.aspp)] if coarse != size else []
    return (
        _convolution(size, fine.channels, sizes.low_level),
        _elementwise(size, sizes.low_level),
        *resized,
        _concatenation(size, joined),
        *_head_convolution(size, joined, sizes.decoder, sizes.separable_head),
        *_head_convolution(size, sizes.decoder, sizes.decoder, sizes.separable_head),
        Primitive(CONVOLUTION, size, sizes.decoder, num_classes, affine=1),
        _resize(image_size, num_classes),
        Primitive(ARGMAX, image_size, num_classes, 1),
    )
