"""Records written by others: shards without `dataset.json`, found by their names."""

import glob
import os
from typing import List

from adl_tf.data.description import (
    DESCRIPTION_FILE,
    DatasetDescription,
    Shard,
    Split,
    default_colors,
)


def list_foreign_splits(dataset_dir: str) -> List[str]:
    """Sorted names of the splits that have shards in a directory.

    Raises:
      FileNotFoundError: there are none.
    """
    shards = _find_shards(dataset_dir, "*")
    if not shards:
        raise FileNotFoundError(f"{dataset_dir}: no shards such as train-00000-of-00004 there.")
    return sorted({shard.rsplit("-", 3)[0] for shard in shards})


def describe_foreign_split(dataset_dir: str, split: str, num_classes: int) -> DatasetDescription:
    """Describes one split of which only the shards are known.

    Args:
      dataset_dir: directory of the shards.
      split: such as "train".
      num_classes: without the ignore label.

    Raises:
      FileNotFoundError: the split has no shards there.
    """
    shards = _find_shards(dataset_dir, glob.escape(split))
    if not shards:
        raise FileNotFoundError(
            f"{dataset_dir}: no {DESCRIPTION_FILE} and no shards {split}-*-of-* there."
        )
    return DatasetDescription(
        name=os.path.basename(os.path.abspath(dataset_dir)),
        class_names=tuple(f"class {label}" for label in range(num_classes)),
        colors=default_colors(num_classes),
        splits={split: Split(tuple(Shard(shard, examples=-1) for shard in shards))},
    )


def _find_shards(dataset_dir, split):
    """Sorted file names of the shards of a split, given as a pattern."""
    # The numbers keep the shards of a split "train-extra" out of "train".
    pattern = os.path.join(glob.escape(dataset_dir), f"{split}-[0-9]*-of-[0-9]*")
    return sorted(map(os.path.basename, glob.glob(pattern)))
