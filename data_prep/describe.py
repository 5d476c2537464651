"""The description of a converted data set, compiled from the notes about its shards."""

from typing import Sequence

import numpy as np

from adl_tf.data.description import DatasetDescription, Shard, Split
from data_prep.conversion import Conversion
from data_prep.shards import ShardPlan, read_state


def describe(
    conversion: Conversion, output_dir: str, plans: Sequence[ShardPlan]
) -> DatasetDescription:
    """Describes a data set whose shards are all written.

    Args:
      conversion: of the data set.
      output_dir: of the shards.
      plans: all shards.

    Raises:
      FileNotFoundError: a shard was not written.
    """
    return DatasetDescription(
        name=conversion.name,
        class_names=tuple(conversion.class_names),
        colors=tuple(map(tuple, conversion.colors)),
        splits={
            split: _describe_split(
                output_dir,
                [plan for plan in plans if plan.split == split],
                labelled=split not in conversion.unlabelled,
            )
            for split in conversion.splits
        },
        source=conversion.source,
        official_ids=tuple(conversion.official_ids),
    )


def _describe_split(output_dir, plans, labelled):
    states = [read_state(output_dir, plan) for plan in plans]
    filled = [state for state in states if state["classes"]]
    return Split(
        shards=tuple(
            Shard(plan.file, len(state["classes"]), state["sha256"], tuple(state["classes"]))
            for plan, state in zip(plans, states)
        ),
        labelled=labelled,
        min_size=_reduce(np.min, [state["min_size"] for state in filled]),
        max_size=_reduce(np.max, [state["max_size"] for state in filled]),
        class_pixels=_reduce(np.sum, [state["class_pixels"] for state in states]),
        ignored_pixels=sum(state["ignored_pixels"] for state in states),
    )


def _reduce(reduction, rows):
    return tuple(reduction(rows, axis=0).tolist()) if rows else None
