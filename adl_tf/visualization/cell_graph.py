"""The cell level: states in a row, branches as arcs above it, the concatenation below.

An arc's label sits on its top: in the middle of the two states and as high as they
are apart. Two different pairs of states differ in one of the two, so labels never meet.
"""

import collections
import dataclasses
from typing import Collection, List, Sequence, Tuple

from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from adl_tf.space.genotype import Block
from adl_tf.space.ops import get_op
from adl_tf.space.search_space import CELL_INPUTS, SearchSpace
from adl_tf.visualization.figure import DASHES, TEXT

INPUT_NAMES = ("H(l-1)", "H(l-2)")

# Inches.
COLUMN = 1.55
ARC = 0.52
BOX_WIDTH = 0.96
BOX_HEIGHT = 0.42
RAIL = 0.3


@dataclasses.dataclass(frozen=True)
class CellArc:
    """One branch of a block, as it is drawn.

    Attributes:
      source: state read: 0 = H^(l-1), 1 = H^(l-2), 2.. = blocks.
      block: block written, from 0.
      op: its operation.
      start: x where it leaves, in inches.
      end: x where it arrives, in inches.
      height: height of its top above the row of states, in inches.
    """

    source: int
    block: int
    op: str
    start: float
    end: float
    height: float


def state_name(state: int) -> str:
    """Name of a state in pictures."""
    return INPUT_NAMES[state] if state < CELL_INPUTS else f"block {state - CELL_INPUTS}"


def edge_names(space: SearchSpace) -> List[str]:
    """Names of the rows of alpha in pictures."""
    return [
        f"{state_name(state)} → {state_name(block + CELL_INPUTS)}" for state, block in space.edges
    ]


def state_center(state: int) -> float:
    """x in inches; the older of the two cell inputs stands left of the newer."""
    column = CELL_INPUTS - 1 - state if state < CELL_INPUTS else state
    return (column + 0.5) * COLUMN


def cell_arcs(cell: Sequence[Block]) -> List[CellArc]:
    """The arcs of a cell: its branches, in order, with their places."""
    branches = [
        (source, block, op) for block, branches in enumerate(cell) for source, op in branches
    ]
    spans = [state_center(b + CELL_INPUTS) - state_center(s) for s, b, _ in branches]
    # Wider arcs lie outside: they leave left of the narrower ones and arrive right of them.
    order = sorted(range(len(branches)), key=lambda index: spans[index])
    leaving, arriving = collections.defaultdict(list), collections.defaultdict(list)
    for index in order:
        leaving[branches[index][0]].insert(0, index)
        arriving[branches[index][1]].append(index)
    arcs = []
    for index, (source, block, op) in enumerate(branches):
        ports, landing = leaving[source], arriving[block]
        # Two branches of a block may read one state: the second arc goes half a step higher.
        twin = (source, block) in [branch[:2] for branch in branches[:index]]
        arcs.append(
            CellArc(
                source,
                block,
                op,
                start=state_center(source)
                + BOX_WIDTH / 2 * (ports.index(index) + 1) / (len(ports) + 1),
                end=state_center(block + CELL_INPUTS)
                - BOX_WIDTH / 2 * (len(landing) - landing.index(index)) / (len(landing) + 1),
                height=ARC * (spans[index] / COLUMN + 0.5 * twin),
            )
        )
    return arcs


def cell_size(cell: Sequence[Block]) -> Tuple[float, float]:
    """(width, height) in inches of the drawn cell."""
    highest = max(arc.height for arc in cell_arcs(cell))
    return (len(cell) + CELL_INPUTS + 1) * COLUMN, 2 * RAIL + BOX_HEIGHT + highest + 0.2


def draw_cell(
    axes: Axes, cell: Sequence[Block], undecided: Collection[Tuple[int, int]] = ()
) -> None:
    """Draws a cell.

    Args:
      axes: in inches, of `cell_size`.
      cell: per block two (input, op).
      undecided: edges (input, block) to draw dashed.
    """
    middle = 2 * RAIL + BOX_HEIGHT / 2
    top, bottom = middle + BOX_HEIGHT / 2, middle - BOX_HEIGHT / 2
    output = len(cell) + CELL_INPUTS
    for state in range(output + 1):
        kind = 0 if state < CELL_INPUTS else 1 if state < output else 2
        axes.add_patch(
            FancyBboxPatch(
                (state_center(state) - BOX_WIDTH / 2, bottom),
                BOX_WIDTH,
                BOX_HEIGHT,
                boxstyle="round,pad=0,rounding_size=0.1",
                fc=("#e6e9ee", "#dcebfa", TEXT)[kind],
                ec=("#8d96a3", "#3b7dc4", TEXT)[kind],
                lw=1.2,
                zorder=3,
            )
        )
        axes.text(
            state_center(state),
            middle,
            "concat" if state == output else state_name(state),
            ha="center",
            va="center",
            color="white" if state == output else TEXT,
            zorder=4,
        )
    # All blocks join one rail into the concatenation; single arrows would only cross.
    rail = {"color": TEXT, "lw": 1.4, "zorder": 2, "solid_joinstyle": "round"}
    for state in range(CELL_INPUTS, output):
        axes.plot([state_center(state)] * 2, [bottom, bottom - RAIL], **rail)
    axes.plot([state_center(CELL_INPUTS), state_center(output)], [bottom - RAIL] * 2, **rail)
    axes.add_patch(
        FancyArrowPatch(
            (state_center(output), bottom - RAIL),
            (state_center(output), bottom),
            arrowstyle="-|>,head_length=6,head_width=3",
            mutation_scale=1,
            shrinkA=0,
            shrinkB=0,
            color=TEXT,
            lw=1.4,
            zorder=2,
        )
    )
    _draw_arcs(axes, cell, top, undecided)


def _draw_arcs(
    axes: Axes, cell: Sequence[Block], top: float, undecided: Collection[Tuple[int, int]]
) -> None:
    """Draws the branches, from and to boxes whose tops lie at a height in inches."""
    for arc in cell_arcs(cell):
        op = get_op(arc.op)
        line = DASHES if (arc.source, arc.block) in undecided else "-"
        # The top of a cubic with level control points lies at 3/4 of their height.
        control = top + arc.height / 0.75
        curve = Path(
            [(arc.start, top), (arc.start, control), (arc.end, control), (arc.end, top)],
            [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4],
        )
        axes.add_patch(
            FancyArrowPatch(
                path=curve,
                arrowstyle="-|>,head_length=7,head_width=3.5",
                mutation_scale=1,
                color=op.color,
                lw=1.8,
                linestyle=line,
                zorder=2,
            )
        )
        axes.text(
            (arc.start + arc.end) / 2,
            top + arc.height,
            op.label,
            ha="center",
            va="center",
            fontsize=9,
            color=op.color,
            weight="bold",
            zorder=5,
            bbox={"boxstyle": "round,pad=0.25", "fc": "white", "ec": op.color, "lw": 1, "ls": line},
        )
