"""A discrete architecture: one path through the trellis and one cell.

File format (JSON): `{"path": [0, 0, 1, ...], "cell": [[[1, "atrous_conv_5x5"],
[0, "sep_conv_3x3"]], ...]}`: one level per layer, and two `[input, op]` per block.
"""

import dataclasses
import operator
import os
from typing import Any, Dict, List, Tuple, Union

from adl_tf.space.network_sizes import NetworkSizes
from adl_tf.space.ops import OPS
from adl_tf.space.search_space import CELL_INPUTS, SearchSpace, level_stride
from adl_tf.system.files import read_json, write_json

Branch = Tuple[int, str]
Block = Tuple[Branch, Branch]


@dataclasses.dataclass(frozen=True)
class Genotype:
    """A path and a cell, checked on construction.

    What a search decodes: the most probable path through the levels, and per block of the cell
    the two strongest edges, each with its strongest op other than none:

        argmax_path prod_l beta_{s_l->s_(l+1)}^l,    max_{k, O^k not none} alpha_{j->i}^k

    Reference:
      Liu et al., Auto-DeepLab, figure 3 and the decoding of section 3.3,
      https://arxiv.org/abs/1901.02985.

    Example:
      >>> cell = [[(0, "sep_conv_3x3"), (1, "skip_connect")]]
      >>> genotype = Genotype(path=(0, 1, 1), cell=cell)
      >>> genotype.cell
      (((0, 'sep_conv_3x3'), (1, 'skip_connect')),)
      >>> load_genotype(genotype.to_dict()) == genotype
      True

    Args:
      path: integers, the level (0 = stride 4) of each layer.
      cell: per block two (input, op); input 0 is H^(l-1), 1 is H^(l-2), 2.. the
        earlier blocks.

    Raises:
      ValueError: a move or an edge that the search space does not have.
    """

    path: Tuple[int, ...]
    cell: Tuple[Block, ...]

    def __post_init__(self):
        object.__setattr__(self, "path", tuple(operator.index(level) for level in self.path))
        object.__setattr__(
            self,
            "cell",
            tuple(
                tuple((operator.index(source), str(op)) for source, op in block)
                for block in self.cell
            ),
        )
        if not self.path or not self.cell:
            raise ValueError("genotype: path and cell need at least one entry each.")
        SearchSpace(num_layers=len(self.path), num_levels=max(4, max(self.path) + 1)).check_path(
            self.path
        )
        for index, block in enumerate(self.cell):
            if len(block) != 2:
                raise ValueError(f"cell: block {index} has {len(block)} branches; it needs 2.")
            for source, op in block:
                if not 0 <= source < index + CELL_INPUTS:
                    raise ValueError(
                        f"cell: block {index} reads input {source}; legal are "
                        f"0..{index + CELL_INPUTS - 1}."
                    )
                if op not in OPS:
                    raise ValueError(
                        f"cell: block {index} has unknown op {op!r}; choose from {list(OPS)}."
                    )

    def to_dict(self) -> Dict[str, Any]:
        """The two fields as plain lists, as `genotype.json` holds them."""
        return {
            "path": list(self.path),
            "cell": [[[source, op] for source, op in block] for block in self.cell],
        }


# Figure 3 of the paper.
PRESETS = {
    "auto_deeplab": Genotype(
        path=(0, 0, 0, 1, 2, 1, 2, 2, 3, 3, 2, 1),
        cell=(
            ((1, "atrous_conv_5x5"), (0, "sep_conv_3x3")),
            ((1, "sep_conv_3x3"), (0, "atrous_conv_3x3")),
            ((3, "sep_conv_3x3"), (1, "sep_conv_3x3")),
            ((4, "sep_conv_5x5"), (2, "sep_conv_5x5")),
            ((3, "sep_conv_5x5"), (5, "atrous_conv_5x5")),
        ),
    ),
}

# Figure 2 of the paper: known networks as paths of 12 layers.
KNOWN_PATHS = {
    "deeplabv3": (0, 0, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2),
    "conv_deconv": (0, 0, 1, 1, 2, 2, 3, 3, 2, 2, 1, 0),
    "stacked_hourglass": (0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1),
}


def describe_genotype(genotype: Genotype) -> List[str]:
    """A genotype for people: a line of strides, then one of each block."""
    strides = " ".join(str(level_stride(level)) for level in genotype.path)
    blocks = [
        f"block {index} (input {index + CELL_INPUTS}): "
        + " + ".join(f"{op}({source})" for source, op in block)
        for index, block in enumerate(genotype.cell)
    ]
    return [f"strides: {strides}", *blocks]


def save_genotype(genotype: Genotype, path: str, **extra: Any) -> None:
    """Writes `genotype.json`; `extra` adds JSON fields. Replaces the file atomically."""
    write_json({**genotype.to_dict(), **extra}, path)


def load_genotype(source: Union[Genotype, Dict[str, Any], str, os.PathLike]) -> Genotype:
    """The genotype that is meant, wherever one is an argument.

    Args:
      source: name of a preset; path of a JSON file with the fields path and cell, such as
        `genotype.json`; a dict with them, such as `run_gradient_search` and `decode_search` return;
        or a `Genotype`, which is returned. Further fields are ignored.

    Raises:
      ValueError: neither a preset nor a file, not JSON, or not a legal genotype.
    """
    if isinstance(source, Genotype):
        return source
    if isinstance(source, dict):
        return _from_fields(source, "genotype")
    source = os.fspath(source)
    if source in PRESETS:
        return PRESETS[source]
    path = os.path.expanduser(source)
    if not os.path.isfile(path):
        raise ValueError(
            f"genotype {source!r} is neither a file nor a preset ({', '.join(PRESETS)})."
        )
    return _from_fields(read_json(path), f"genotype {source!r}")


def load_network_size(
    source: Union[Genotype, Dict[str, Any], str, os.PathLike, None],
) -> Tuple[int, NetworkSizes]:
    """F and the sizes of stem, ASPP and decoder that stand beside a genotype.

    Args:
      source: what `load_genotype` takes.

    Raises:
      ValueError: nothing stands there, as beside a preset, or it is damaged.
    """
    fields = source
    if isinstance(source, (str, os.PathLike)) and os.fspath(source) not in PRESETS:
        load_genotype(source)  # Says what is wrong with the file.
        fields = read_json(os.path.expanduser(os.fspath(source)))
    try:
        return int(fields["filter_multiplier"]), NetworkSizes(**fields["sizes"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"genotype {source!r} has no filter_multiplier and sizes beside it, as what a search "
            "found has: give an F (FILTER_MULTIPLIER)."
        ) from error


def _from_fields(fields: Dict[str, Any], name: str) -> Genotype:
    try:
        return Genotype(path=fields["path"], cell=fields["cell"])
    except KeyError as error:
        raise ValueError(f"{name} has no field {error}.") from error
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: {error}") from error
