"""What a network may cost, and the best genotype that costs no more and no less."""

import dataclasses
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from adl_tf.settings import Count, NotNegative, Positive, Sides
from adl_tf.space.costs import primitive_cost
from adl_tf.space.decoding import highest_paths, move_scores, op_probabilities, path_score
from adl_tf.space.genotype import Genotype
from adl_tf.space.latency import LatencyTable
from adl_tf.space.layout import (
    Primitive,
    network_layout,
    op_primitives,
    plan_layers,
    size_at,
)
from adl_tf.space.network_sizes import PAPER_SIZES, NetworkSizes
from adl_tf.space.ops import NONE
from adl_tf.space.search_space import CELL_INPUTS, SearchSpace

# Costs are rounded to this share of the budget while the ops of a cell are chosen.
_RESOLUTION = 1 / 400
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
      milliseconds: of the exported network on one image, on this machine.
      tolerance: relative distance allowed.
      part: "total", or "cells" for what is searched alone.
      sizes: of stem, ASPP and decoder.
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
        """What is limited: multi_adds, parameters or milliseconds."""
        return next(name for name in _UNITS if getattr(self, name) is not None)

    @property
    def wanted(self) -> float:
        """Multi-Adds, parameters or milliseconds wanted."""
        return getattr(self, self.kind) * _UNITS[self.kind]

    def kernel_cost(self, primitive: Primitive) -> float:
        """What one kernel of a network costs.

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

    def fill(self, genotype: Genotype) -> Tuple[int, NetworkSizes]:
        """Interim."""
        best = None
        for filters in range(2, 129):
            ratio = filters / self.filter_multiplier
            scale = lambda n: max(4, round(n * ratio))  # noqa: E731
            sizes = NetworkSizes(
                tuple(map(scale, self.sizes.stem)),
                scale(self.sizes.aspp),
                scale(self.sizes.low_level),
                scale(self.sizes.decoder),
            )
            cost = self.of(
                getattr(
                    network_cost(
                        genotype, filters, self.num_classes, tuple(self.image_size), sizes
                    ),
                    self.part,
                )
            )
            distance = abs(cost / self.wanted - 1)
            if best is None or distance < best[0]:
                best = distance, filters, sizes
            if cost > self.wanted:
                break
        return best[1], best[2]

    def met_by(self, genotype: Genotype) -> bool:
        """Whether a genotype costs what the budget says."""
        return abs(self.cost(genotype) / self.wanted - 1) <= self.tolerance

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

    def op_costs(
        self, path: Tuple[int, ...], ops: Tuple[str, ...]
    ) -> Dict[Tuple[str, bool], float]:
        """What an op adds on one edge, summed over the layers of a path.

        Returns:
          by op and whether the edge leaves one of the cell's inputs.
        """
        plans = plan_layers(path, 1, self.filter_multiplier, self.sizes.stem)
        costs = {}
        for op in ops:
            for from_input in (True, False):
                total = 0
                for plan in plans:
                    stride = 2 if from_input and plan.move == "down" else 1
                    size = size_at(self.image_size, plan.read_stride if from_input else plan.stride)
                    total += sum(
                        map(self.kernel_cost, op_primitives(op, plan.filters, size, stride))
                    )
                costs[op, from_input] = total
        return costs


def decode_within(
    space: SearchSpace, alpha: np.ndarray, beta: np.ndarray, budget: Budget, paths: int = 100
) -> Genotype:
    """The most probable genotype of the networks that meet a budget.

    Without a budget, decoding takes per block the two strongest edges with their strongest ops, and
    the most probable path. Within one, the product of the probabilities of all ops and of the
    path's score (see `best_paths`) is largest among what costs within the tolerance: the ops by
    dynamic programming over blocks and cost, for each of the best paths.

    Args:
      space: the search space.
      alpha: [edges, ops], logits.
      beta: [layers - 1, levels, moves], logits.
      budget: what it may cost.
      paths: how many paths to try, the best first.

    Raises:
      ValueError: no genotype on these paths meets the budget.
    """
    with np.errstate(divide="ignore"):
        logs = np.log(op_probabilities(alpha))
    found: List[Tuple[float, Genotype]] = []
    moves = move_scores(space, beta)
    for path in highest_paths(space, moves, paths):
        cell = _best_cell(space, logs, budget, path)
        if cell is not None:
            score, blocks = cell
            found.append((score + path_score(path, moves), Genotype(path, blocks)))
    if not found:
        raise ValueError(
            f"none of the {paths} best paths has a cell that costs {budget.wanted:.4g} "
            f"within {budget.tolerance:.0%}: change the budget, its tolerance or F."
        )
    return max(found, key=lambda pair: pair[0])[1]


def _best_cell(space: SearchSpace, logs: np.ndarray, budget: Budget, path: Tuple[int, ...]):
    """(score, cell) of the best cell on a path within the budget; None if there is none."""
    # What the path costs beside its ops.
    fixed = budget.cost(Genotype(path, [[(0, NONE), (1, NONE)]] * space.num_blocks))
    names = tuple(op for op in space.ops if op != NONE)
    costs = budget.op_costs(path, names)
    unit = budget.wanted * _RESOLUTION
    # Sums of rounded costs -> (score, cost, cell so far).
    states = {0: (0.0, float(fixed), ())}
    most = budget.wanted * (1 + budget.tolerance)
    for block in range(space.num_blocks):
        options = _block_options(space, logs, block, names, costs)
        reached: Dict[int, Tuple[float, float, Tuple]] = {}
        for score, cost, cell in states.values():
            for gain, extra, branches in options:
                total = cost + extra
                if total > most:
                    continue
                key = round(total / unit)
                if key not in reached or reached[key][0] < score + gain:
                    reached[key] = (score + gain, total, (*cell, branches))
        states = reached
    least = budget.wanted * (1 - budget.tolerance)
    allowed = [state for state in states.values() if state[1] >= least]
    if not allowed:
        return None
    score, _, cell = max(allowed, key=lambda state: state[0])
    return score, cell


def _block_options(space: SearchSpace, logs, block: int, names, costs):
    """(score, cost, branches) of the pairs of edges into a block, one for each cost."""
    rows = {source: space.edges.index((source, block)) for source in range(CELL_INPUTS + block)}
    single = {
        source: [
            (logs[row, space.ops.index(op)], costs[op, source < CELL_INPUTS], (source, op))
            for op in names
        ]
        for source, row in rows.items()
    }
    best: Dict[int, Tuple[float, int, Tuple]] = {}
    for first in rows:
        for second in range(first + 1, len(rows)):
            for one in single[first]:
                for two in single[second]:
                    gain, cost = one[0] + two[0], one[1] + two[1]
                    if cost not in best or best[cost][0] < gain:
                        branches = sorted((one, two), key=lambda branch: -branch[0])
                        best[cost] = (gain, cost, tuple(branch[2] for branch in branches))
    return list(best.values())
