"""The cost of a supernet's architecture in its loss."""

import numpy as np
import tensorflow as tf

from adl_tf.models.supernet import Supernet
from adl_tf.space.budget import Budget
from adl_tf.space.costs import convolution_cost, op_cost, sizes_of_levels
from adl_tf.space.genotype import Genotype
from adl_tf.space.ops import NONE
from adl_tf.space.search_space import CELL_INPUTS, MOVE_OFFSETS, SearchSpace


def entry_costs(space: SearchSpace, budget: Budget) -> np.ndarray:
    """What each op of each edge adds to the cost of entering a level by a move.

    A block keeps two of its n edges, so that an op counts 2 / n times; the two convolutions of the
    cell's inputs are shared out evenly among the edges, as if both inputs were of the level left.

    Args:
      space: the search space.
      budget: which cost, at which image size and F.

    Returns:
      float64 [levels, moves, edges, ops], by the level that is entered; 0 for moves that do not
      exist.
    """
    sizes = sizes_of_levels(budget.image_size, space.num_levels)
    costs = np.zeros((space.num_levels, len(MOVE_OFFSETS), *space.alpha_shape))
    for level in range(space.num_levels):
        filters = budget.filter_multiplier * 2**level
        for move, offset in enumerate(MOVE_OFFSETS):
            source = level - offset
            if not 0 <= source < space.num_levels:
                continue
            channels = space.num_blocks * budget.filter_multiplier * 2**source
            project = convolution_cost(sizes[min(level, source)], channels, filters)
            inputs = CELL_INPUTS * budget.of(project) / space.alpha_shape[0]
            for row, (state, block) in enumerate(space.edges):
                stride = 2 if offset > 0 and state < CELL_INPUTS else 1
                kept = 2 / (CELL_INPUTS + block)
                for column, op in enumerate(space.ops):
                    own = 0 if op == NONE else budget.of(op_cost(op, filters, sizes[level], stride))
                    costs[level, move, row, column] = inputs + kept * own
    return costs


class CostPenalty(tf.Module):
    """A weight times the expected cost of a supernet's cells, relative to a budget.

    The cost of a cell that is entered is that of its ops by their probabilities; levels are entered
    by the probabilities of the moves. The weight is doubled while the decoded genotype costs more
    than the budget, and halved while it costs less (FasterSeg, https://arxiv.org/abs/1912.10917,
    section 3.2, does so with latency).

    Args:
      space: the search space.
      budget: what the decoded network may cost.
      weight: at first.

    Attributes:
      weight: float32 variable.
    """

    def __init__(self, space: SearchSpace, budget: Budget, weight: float):
        super().__init__()
        self._space, self.budget = space, budget
        self.weight = tf.Variable(weight, trainable=False, dtype=tf.float32)
        self._costs = (entry_costs(space, budget) / budget.wanted).astype(np.float32)

    def expected(self, ops: tf.Tensor, moves: tf.Tensor) -> tf.Tensor:
        """Expected cost of the cells over the budget.

        Args:
          ops: [edges, ops], probabilities.
          moves: [layers - 1, levels, moves], probabilities.
        """
        space = self._space
        cells = tf.reduce_sum(self._costs * ops, axis=[2, 3])  # [levels, moves]
        stay = MOVE_OFFSETS.index(0)
        total = cells[0, stay]  # The first layer's cell.
        visits = [tf.ones([])] + [tf.zeros([])] * (space.num_levels - 1)
        for layer in range(space.num_layers - 1):
            reached = [tf.zeros([])] * space.num_levels
            for level in space.levels(layer + 1):
                for source, move in space.predecessors(layer + 1, level):
                    entered = visits[source] * moves[layer, source, move]
                    reached[level] += entered
                    total += entered * cells[level, move]
            visits = reached
        return total

    def __call__(self, supernet: Supernet) -> tf.Tensor:
        """The penalty of a supernet's alpha and beta."""
        return self.weight * self.expected(
            supernet.op_probabilities(), supernet.move_probabilities()
        )

    def adapt(self, genotype: Genotype) -> None:
        """Doubles or halves the weight by what the decoded genotype costs."""
        excess = self.budget.cost(genotype) / self.budget.wanted - 1
        if abs(excess) > self.budget.tolerance:
            self.weight.assign(self.weight * (2.0 if excess > 0 else 0.5))


class CostSchedule(tf.keras.callbacks.Callback):
    """Adapts the weight of a penalty after each epoch of architecture steps.

    Args:
      supernet: the network that is searched.
      optimizer: counts the architecture steps.
      penalty: of the search.
    """

    def __init__(self, supernet: Supernet, optimizer, penalty: CostPenalty):
        super().__init__()
        self._supernet, self._optimizer, self._penalty = supernet, optimizer, penalty

    def on_epoch_end(self, epoch, logs=None):
        if not int(self._optimizer.iterations):
            return
        self._penalty.adapt(self._supernet.decode()[0])
        if logs is not None:
            logs["cost_weight"] = float(self._penalty.weight)
