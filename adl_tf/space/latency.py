"""Latency of the exported network of a genotype on one machine, by a table of measured layers.

The sum over its primitives of their times, which are interpolated between measured ones:

    milliseconds = convolutions * sum_{convolutions} t + others * sum_{others} t
                   + kernel * kernels + constant

A kernel's time is nearly linear in the pixels and the channels that it reads, and in the filters
that it writes once these are rounded up to whole vectors of the processor; so it is interpolated
linearly along each of the three. The four coefficients come from a few whole networks: kernels run
side by side, find in the caches what others have just written, and wait to be started.

`serving.layer_timing` measures; here are numbers only.
"""

import functools
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple

import numpy as np

from adl_tf.space.genotype import Genotype
from adl_tf.space.layout import CONVOLUTION, DEPTHWISE, NetworkLayout, Primitive, network_layout
from adl_tf.space.network_sizes import NetworkSizes
from adl_tf.space.ops import OPS, POOLS

_ATROUS = ", atrous"  # End of a key.
_FAR = 64  # The table is extended to as many times its largest sizes.
# Kernels that wait for the arithmetic; the others wait for the memory.
_COMPUTED = (CONVOLUTION, DEPTHWISE, *POOLS)


class Coefficients(NamedTuple):
    """Coefficients of a network's time, given those of its kernels.

    Attributes:
      convolutions: factor of convolutions and pools.
      others: factor of all other kernels.
      kernel: milliseconds of each kernel.
      constant: milliseconds of each network.
    """

    convolutions: float = 1.0
    others: float = 1.0
    kernel: float = 0.0
    constant: float = 0.0


_ALONE = Coefficients()  # As if kernels took in networks what they take alone.


class Grid(NamedTuple):
    """Times of one kind of kernel.

    Attributes:
      pixels, channels, filters: increasing sizes, of the output, the input and the output. Kernels
        with as many filters as channels have one entry in `filters`, which means nothing.
      milliseconds: float64 [pixels, channels, filters].
    """

    pixels: Tuple[int, ...]
    channels: Tuple[int, ...]
    filters: Tuple[int, ...]
    milliseconds: np.ndarray


def layer_key(primitive: Primitive) -> str:
    """Which grid a primitive is looked up in.

    Example:
      >>> layer_key(Primitive(DEPTHWISE, (9, 9), 8, 8, kernel=3, stride=2))
      'depthwise 3x3, stride 2'
    """
    key = f"{primitive.kind} {primitive.kernel}x{primitive.kernel}, stride {primitive.stride}"
    # Of atrous convolutions, depthwise ones alone are split into phases.
    return key + _ATROUS if primitive.kind == DEPTHWISE and primitive.rate > 1 else key


@functools.cache
def all_layers() -> Dict[str, Primitive]:
    """One primitive for each key that a network can need, with the smallest rate of its key."""
    found: Dict[str, Primitive] = {}
    for op in OPS:
        genotype = Genotype((0, 1, 0), [[(0, op), (1, op)]] * 2)
        for separable in (False, True):
            sizes = NetworkSizes(separable_head=separable)
            for part in network_layout(genotype, 4, 2, (96, 96), sizes):
                found.update({layer_key(primitive): primitive for primitive in part})
    return {
        key: primitive._replace(rate=2 if key.endswith(_ATROUS) else 1)
        for key, primitive in found.items()
    }


class LatencyTable:
    """Milliseconds of kernels and of networks on the machine that was measured.

    Args:
      grids: by key, for all of `all_layers`.
      lanes: floats in a vector of the processor, which filters are rounded up to.
      coefficients: coefficients of whole networks.

    Raises:
      ValueError: a kind of kernel was not measured, or its times are no finite numbers.
    """

    def __init__(
        self,
        grids: Dict[str, Grid],
        lanes: int = 1,
        coefficients: Coefficients = _ALONE,
    ):
        missing = [key for key in all_layers() if key not in grids]
        if missing:
            raise ValueError(f"latency table: nothing was measured for {missing}.")
        self.grids, self.lanes = grids, lanes
        self.coefficients = Coefficients(*map(float, coefficients))
        self._extended = {key: _extend(key, grid) for key, grid in grids.items()}
        self._known: Dict[Primitive, float] = {}

    def kernel_milliseconds(self, primitive: Primitive) -> float:
        """The time of one kernel, as measured alone.

        Raises:
          ValueError: no such kind was measured.
        """
        if primitive not in self._known:
            self._known[primitive] = self._look_up(primitive)
        return self._known[primitive]

    def _look_up(self, primitive: Primitive) -> float:
        key = layer_key(primitive)
        if key not in self._extended:
            raise ValueError(f"latency table: nothing was measured for {key!r}.")
        axes, values = self._extended[key]
        filters = primitive.filters
        if primitive.kind in (CONVOLUTION, DEPTHWISE):
            filters += -filters % self.lanes
        channels = filters if primitive.kind == DEPTHWISE else primitive.channels
        for axis, place in zip(axes, (_pixels(primitive), channels, filters)):
            values = _interpolate(axis, values, place)
        return float(values)

    def milliseconds(self, primitive: Primitive) -> float:
        """Contribution of a kernel to the time of a network."""
        convolutions, others, kernel, _ = self.coefficients
        factor = convolutions if primitive.kind in _COMPUTED else others
        return factor * self.kernel_milliseconds(primitive) + kernel

    def network_milliseconds(self, layout: NetworkLayout) -> float:
        """The time of a whole network."""
        return self.coefficients.constant + sum(
            self.milliseconds(primitive) for part in layout for primitive in part
        )

    def features(self, layout: NetworkLayout) -> np.ndarray:
        """The features that the coefficients of a network multiply, float64 [4]."""
        found = dict.fromkeys(Coefficients._fields, 0.0)
        for part in layout:
            for primitive in part:
                name = "convolutions" if primitive.kind in _COMPUTED else "others"
                found[name] += self.kernel_milliseconds(primitive)
                found["kernel"] += 1
        return np.array([*found.values()]) + [0, 0, 0, 1]

    def with_coefficients(self, coefficients: Sequence[float]) -> "LatencyTable":
        """The same measured layers with other coefficients."""
        return LatencyTable(self.grids, self.lanes, Coefficients(*coefficients))

    def to_dict(self) -> Dict[str, Any]:
        """As JSON holds it."""
        grids = {
            key: {**grid._asdict(), "milliseconds": grid.milliseconds.tolist()}
            for key, grid in self.grids.items()
        }
        coefficients = self.coefficients._asdict()
        return {"grids": grids, "lanes": self.lanes, "coefficients": coefficients}

    @classmethod
    def from_dict(cls, fields: Dict[str, Any]) -> "LatencyTable":
        """The reverse of `to_dict`.

        Raises:
          KeyError, TypeError, ValueError: that is no table.
        """
        grids = {
            key: Grid(
                *(tuple(map(int, grid[axis])) for axis in ("pixels", "channels", "filters")),
                np.asarray(grid["milliseconds"], float),
            )
            for key, grid in fields["grids"].items()
        }
        return cls(grids, int(fields["lanes"]), Coefficients(**fields["coefficients"]))


def _pixels(primitive: Primitive) -> float:
    """Pixels of the output that are computed.

    Where a tap of an atrous convolution lies outside of the image, nothing is. Depthwise ones run
    in phases, padded to one size.
    """
    (height, width), rate = primitive.size, primitive.rate
    if primitive.kind == DEPTHWISE:
        return (height + -height % rate) * (width + -width % rate)
    if rate == 1:
        return height * width
    reach = abs(np.arange(primitive.kernel) - primitive.kernel // 2) * rate
    rows, columns = (np.maximum(0, side - reach).mean() for side in primitive.size)
    return rows * columns


def _extend(key: str, grid: Grid) -> Tuple[Tuple[np.ndarray, ...], np.ndarray]:
    """A grid that never falls along an axis, and reaches from nothing to far beyond what was seen.

    Whatever disturbs a measurement makes it longer, so where a larger kernel took less time, that
    is the time of the smaller one as well.

    Raises:
      ValueError: the times are not finite, or not as many as the sizes say.
    """
    values = np.asarray(grid.milliseconds, float)
    shape = len(grid.pixels), len(grid.channels), len(grid.filters)
    if values.shape != shape or not np.isfinite(values).all() or (values < 0).any():
        raise ValueError(f"latency table: the times of {key!r} are damaged.")
    axes: List[np.ndarray] = []
    for axis, sizes in enumerate((grid.pixels, grid.channels, grid.filters)):
        values = np.moveaxis(values, axis, 0)
        values = np.minimum.accumulate(values[::-1])[::-1]
        if len(sizes) > 1:
            far = sizes[-1] * _FAR
            ends = [_interpolate(np.array(sizes, float), values, place) for place in (0, far)]
            values = np.concatenate([np.maximum(ends[:1], 0), values, ends[1:]])
            sizes = (0, *sizes, far)
        axes.append(np.array(sizes, float))
        values = np.moveaxis(values, 0, axis)
    for axis in range(3):  # What was added may have lost the order along the others.
        values = np.maximum.accumulate(values, axis)
    return tuple(axes), values


def _interpolate(places: np.ndarray, values: np.ndarray, place: float) -> np.ndarray:
    """Linearly along the first axis; beyond its ends as its outermost parts go on."""
    if len(places) == 1:
        return values[0]
    index = int(np.clip(np.searchsorted(places, place) - 1, 0, len(places) - 2))
    weight = (place - places[index]) / (places[index + 1] - places[index])
    return values[index] * (1 - weight) + values[index + 1] * weight
