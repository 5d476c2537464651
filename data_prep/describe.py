"""The description of a converted data set, compiled from the notes about its shards."""

from typing import List, Sequence

import numpy as np

from adl_tf.data.description import IGNORE_LABEL, DatasetDescription, Shard, Split
from data_prep.conversion import Conversion
from data_prep.shards import ShardPlan, read_state

# A split with more of its pixels ignored than this is worth a warning.
MOSTLY = 0.5


def describe(
    conversion: Conversion, output_dir: str, plans: Sequence[ShardPlan]
) -> DatasetDescription:
    """Describes a data set whose shards are all written.

    Args:
      conversion: conversion of the data set.
      output_dir: directory of the shards.
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
        source=conversion.source
        + (f", short side at most {conversion.short_side}" if conversion.short_side else ""),
        official_ids=tuple(conversion.official_ids),
    )


def find_oddities(description: DatasetDescription) -> List[str]:
    """Properties of a data set that are hardly intended, a line each."""
    labelled = {name: split for name, split in description.splits.items() if split.labelled}
    if not labelled:
        return []
    names = description.class_names
    pixels = {name: np.array(split.class_pixels) for name, split in labelled.items()}
    ignored = {name: split.ignored_pixels for name, split in labelled.items()}
    everywhere = sum(pixels.values())
    if len(names) > 1 and not everywhere[1:].any() and sum(ignored.values()):
        return [
            f"the masks hold nothing but 0 ({names[0]}) and {IGNORE_LABEL}, which is ignored. If "
            f"{IGNORE_LABEL} is a class of yours: --mask_values=0,{IGNORE_LABEL} of "
            "convert_folder."
        ]
    lines = [f"no pixels of class {n}." for n, count in zip(names, everywhere) if not count]
    if "train" in pixels:
        lines += [
            f"class {name} is in other splits, but not in train."
            for name, count, trained in zip(names, everywhere, pixels["train"])
            if count and not trained
        ]
    for name in labelled:
        share = ignored[name] / max(1, ignored[name] + pixels[name].sum())
        if share > MOSTLY:
            lines.append(f"{share:.0%} of the pixels of {name} are ignored.")
    return lines


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
