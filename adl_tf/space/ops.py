"""The candidate ops, one entry each: supernet, decoded cell, pictures and costs read this table.

Another kernel size is one more line in `TABLE`; another kind is shown in docs/how_to.md.
"""

import dataclasses
from typing import Sequence, Tuple

NONE = "none"

# Kinds.
ZERO = "zero"
SKIP = "skip"
MAX_POOL = "max_pool"
AVERAGE_POOL = "average_pool"
SEPARABLE = "separable"
ATROUS = "atrous"

POOLS = (MAX_POOL, AVERAGE_POOL)
WEIGHTLESS = (ZERO, SKIP, *POOLS)

ATROUS_RATE = 2


@dataclasses.dataclass(frozen=True)
class Op:
    """One candidate op (paper, section 3.1, https://arxiv.org/abs/1901.02985).

    Attributes:
      name: in genotypes and configurations.
      kind: ZERO, SKIP, MAX_POOL, AVERAGE_POOL, SEPARABLE (depthwise-separable, applied twice)
        or ATROUS (rate 2).
      kernel: side of the kernel or window in pixels; 1 where there is none.
      label: short name in pictures.
      color: in pictures, "#rrggbb"; one hue per kind, darker for the larger kernel.
    """

    name: str
    kind: str
    kernel: int
    label: str
    color: str

    @property
    def has_weights(self) -> bool:
        """Whether the op has kernels to train at stride 1."""
        return self.kind not in WEIGHTLESS


TABLE = (
    Op(NONE, ZERO, 1, "none", "#9aa0a6"),
    Op("max_pool_3x3", MAX_POOL, 3, "max 3x3", "#3f9142"),
    Op("avg_pool_3x3", AVERAGE_POOL, 3, "avg 3x3", "#7aa52c"),
    Op("skip_connect", SKIP, 1, "skip", "#8455b8"),
    Op("sep_conv_3x3", SEPARABLE, 3, "sep 3x3", "#3b8fd4"),
    Op("sep_conv_5x5", SEPARABLE, 5, "sep 5x5", "#1b4f9c"),
    Op("atrous_conv_3x3", ATROUS, 3, "atr 3x3", "#e8891c"),
    Op("atrous_conv_5x5", ATROUS, 5, "atr 5x5", "#c0471b"),
)

# The names, in the order of alpha's columns.
OPS = tuple(op.name for op in TABLE)
_BY_NAME = {op.name: op for op in TABLE}


def get_op(name: str) -> Op:
    """The entry of an op.

    Raises:
      ValueError: there is no op of that name.
    """
    if name not in _BY_NAME:
        raise ValueError(f"unknown op {name!r}; choose from {list(OPS)}.")
    return _BY_NAME[name]


def ops_of_kind(names: Sequence[str], *kinds: str) -> Tuple[str, ...]:
    """Those of some ops that are of the given kinds, in the order of `TABLE`."""
    return tuple(op.name for op in TABLE if op.name in names and op.kind in kinds)
