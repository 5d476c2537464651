"""Sizes of what surrounds the cells of a decoded network."""

import dataclasses
from typing import Any, Dict, Sequence

from adl_tf.system.settings import Count


@dataclasses.dataclass(frozen=True)
class NetworkSizes:
    """Filters of the stem, ASPP and decoder. The defaults are the paper's.

    At these defaults a small network spends most of its Multi-Adds around its cells: with
    F = 13 at 360x480, 19 of 20 billion.

    Attributes:
      stem: filters of the stem's three convolutions (paper, section 4.1).
      aspp: filters of each branch of ASPP and of its output (DeepLabv3,
        https://arxiv.org/abs/1706.05587, section 3.3).
      low_level: filters to which the decoder projects its finer input (DeepLabv3+,
        https://arxiv.org/abs/1802.02611, section 3.1).
      decoder: filters of the decoder's two 3x3 convolutions.
      separable_head: depthwise-separable 3x3 convolutions in ASPP and decoder instead of full
        ones, as DeepLabv3+ has them (section 3.1).

    Raises:
      ValueError: a size is not a positive integer.
    """

    stem: Sequence[Count] = (64, 64, 128)
    aspp: Count = 256
    low_level: Count = 48
    decoder: Count = 256
    separable_head: bool = False

    def __post_init__(self):
        if not isinstance(self.stem, (list, tuple)) or len(self.stem) != 3:
            raise ValueError(
                f"NetworkSizes: stem is {self.stem!r}; give the filters of its three "
                "convolutions, such as (64, 64, 128)."
            )
        object.__setattr__(self, "stem", tuple(self.stem))
        for name in ("stem", "aspp", "low_level", "decoder"):
            value = getattr(self, name)
            for count in value if name == "stem" else (value,):
                if not isinstance(count, int) or isinstance(count, bool) or count < 1:
                    raise ValueError(
                        f"NetworkSizes: {name} is {value!r}; filters are integers, 1 or more."
                    )
        if not isinstance(self.separable_head, bool):
            raise ValueError(
                f"NetworkSizes: separable_head is {self.separable_head!r}; it must be True or "
                "False."
            )

    def to_dict(self) -> Dict[str, Any]:
        """The fields as JSON holds them."""
        return {**dataclasses.asdict(self), "stem": list(self.stem)}

    def scaled(self, factor: float) -> "NetworkSizes":
        """All filters times a factor, rounded, at least one."""

        def times(count: int) -> int:
            return max(1, round(factor * count))

        return NetworkSizes(
            stem=tuple(map(times, self.stem)),
            aspp=times(self.aspp),
            low_level=times(self.low_level),
            decoder=times(self.decoder),
            separable_head=self.separable_head,
        )


PAPER_SIZES = NetworkSizes()
