"""The order in which a training stream takes its records, as a pure function of a seed."""

from typing import Optional, Sequence

import numpy as np
import tensorflow as tf

_fold_in = tf.random.experimental.stateless_fold_in


def shuffled_records(
    records: np.ndarray,
    seed,
    *,
    start_position: int = 0,
    class_balance: float = 0.0,
    records_by_class: Optional[Sequence[np.ndarray]] = None,
) -> tf.data.Dataset:
    """Infinite data set of record numbers; every epoch is a new random permutation.

    Args:
      records: int64 [N], what to shuffle.
      seed: int64 [2]; the same seed gives the same order.
      start_position: position of the first element; skipped ones cost nothing.
      class_balance: share of the places that go to a record of a randomly drawn class.
      records_by_class: the records that show each class; needed for class_balance.

    Returns:
      data set of dicts:
        position: int64 scalar, epoch * N + place in that epoch's order.
        record: int64 scalar.
    """
    count = len(records)
    order_seed, balance_seed = _fold_in(seed, 0), _fold_in(seed, 1)
    draw_balanced = _balanced_draw(records_by_class) if class_balance else None

    @tf.autograph.experimental.do_not_convert
    def shuffled_epoch(epoch):
        order = tf.random.experimental.stateless_shuffle(records, _fold_in(order_seed, epoch))
        if class_balance:
            draw = tf.random.stateless_uniform([3, count], _fold_in(balance_seed, epoch))
            order = tf.where(draw[0] < class_balance, draw_balanced(draw[1], draw[2]), order)
        positions = epoch * count + tf.range(count, dtype=tf.int64)
        elements = tf.data.Dataset.from_tensor_slices({"position": positions, "record": order})
        return elements.skip(tf.maximum(start_position - epoch * count, 0))

    epochs = tf.data.Dataset.range(start_position // count, np.iinfo(np.int64).max)
    return epochs.flat_map(shuffled_epoch)


def _balanced_draw(members):
    """Turns two numbers in [0, 1) into a class and one of its records."""
    sizes = tf.constant([len(records) for records in members], tf.int64)
    starts = tf.cumsum(sizes, exclusive=True)
    flat = tf.constant(np.concatenate(members))

    def draw(class_draw, record_draw):
        label = tf.cast(class_draw * len(members), tf.int64)
        size = tf.gather(sizes, label)
        place = tf.cast(record_draw * tf.cast(size, tf.float32), tf.int64)
        return tf.gather(flat, tf.gather(starts, label) + tf.minimum(place, size - 1))

    return draw
