"""One shard: what goes into it, writing it, and the note of what it holds.

A shard gets its name once it is complete. What it holds is then noted in a hidden folder beside it,
where the next run of the same conversion finds it.
"""

import dataclasses
import hashlib
import os
from typing import Dict, Iterable, List, Tuple, Union

import numpy as np

from adl_tf.data.description import IGNORE_LABEL
from adl_tf.system.files import read_json, replacing, write_json
from adl_tf.system.startup import import_quietly
from data_prep.conversion import Splits
from data_prep.errors import BadExample
from data_prep.examples import EncodedExample, Item

STATE_DIR = ".conversion"


@dataclasses.dataclass(frozen=True)
class ShardPlan:
    """One shard to be written.

    Attributes:
      split: it belongs to.
      file: its name.
      items: what goes into it.
      source: checksum of what it is made of: items, sizes and times of their files, settings.
    """

    split: str
    file: str
    items: Tuple[Item, ...]
    source: str = ""


def plan_shards(splits: Splits, num_shards: int, settings: object = None) -> List[ShardPlan]:
    """Divides each split into shards of equal size, give or take one item.

    Args:
      splits: the items of each split, at least one.
      num_shards: per split, fewer where a split has fewer items.
      settings: what the examples depend on besides, with a `repr`.
    """
    plans = []
    for split, items in splits.items():
        count = min(num_shards, len(items))
        bounds = [len(items) * shard // count for shard in range(count + 1)]
        for shard, (start, end) in enumerate(zip(bounds, bounds[1:])):
            file = f"{split}-{shard:05d}-of-{count:05d}.tfrecord"
            members = tuple(items[start:end])
            plans.append(ShardPlan(split, file, members, _source(members, settings)))
    return plans


def _source(items: Tuple[Item, ...], settings: object) -> str:
    digest = hashlib.sha256(repr(settings).encode())
    for item in items:
        digest.update(repr(item).encode())
        for path in (item.image, item.label):
            if isinstance(path, str) and os.path.exists(path):
                status = os.stat(path)
                digest.update(f"{status.st_size} {status.st_mtime_ns}".encode())
    return digest.hexdigest()


def write_shard(
    output_dir: str,
    plan: ShardPlan,
    results: Iterable[Union[EncodedExample, BadExample]],
    num_classes: int,
) -> None:
    """Writes one shard and the note of what it holds, each atomically.

    Args:
      output_dir: directory of the shards.
      plan: the shard.
      results: results of its items, in order.
      num_classes: number of classes of the data set.

    Raises:
      OSError: the shard cannot be written.
    """
    tf = import_quietly("tensorflow")  # Here, so that worker processes start without it.

    from adl_tf.data import schema

    path = os.path.join(output_dir, plan.file)
    written, skipped = [], []
    pixels = np.zeros(256, np.int64)
    try:
        with replacing(path) as temporary:
            with tf.io.TFRecordWriter(temporary) as writer:
                for result in results:
                    if isinstance(result, BadExample):
                        skipped.append([result.file, result.reason, result.fix])
                        continue
                    record = schema.encode_example(
                        filename=result.name,
                        image=result.image,
                        image_format=result.image_format,
                        height=result.size[0],
                        width=result.size[1],
                        label=result.label,
                    )
                    writer.write(record)
                    shown = np.flatnonzero(result.pixels[:num_classes])
                    written.append((result.size, " ".join(map(str, shown))))
                    pixels += result.pixels
            size, sha256 = os.path.getsize(temporary), checksum(temporary)
    except tf.errors.OpError as error:
        raise OSError(0, schema.describe_error(error), path) from error
    sizes = [image_size for image_size, _ in written]
    state = {
        "source": plan.source,
        "skipped": skipped,
        "bytes": size,
        "sha256": sha256,
        "classes": [classes for _, classes in written],
        "min_size": np.min(sizes, axis=0).tolist() if sizes else None,
        "max_size": np.max(sizes, axis=0).tolist() if sizes else None,
        "class_pixels": pixels[:num_classes].tolist(),
        "ignored_pixels": int(pixels[IGNORE_LABEL]),
    }
    write_json(state, _state_file(output_dir, plan))


def read_state(output_dir: str, plan: ShardPlan) -> Dict[str, object]:
    """The notes of `write_shard` about a shard.

    Returns:
      source: that of its plan.
      skipped: file, reason and fix of each bad example.
      bytes: size of the file.
      sha256: checksum of the file.
      classes: the label ids in each record, as "0 2 7".
      min_size: smallest (height, width), each over all images; None without records.
      max_size: largest (height, width).
      class_pixels: number of label pixels per class.
      ignored_pixels: number of label pixels with the ignore label.

    Raises:
      FileNotFoundError: the shard was not written.
    """
    return read_json(_state_file(output_dir, plan))


def has_note(output_dir: str, plan: ShardPlan) -> bool:
    """Whether a shard of this name was written before."""
    return os.path.exists(_state_file(output_dir, plan))


def is_finished(output_dir: str, plan: ShardPlan) -> bool:
    """Whether a shard is there, made of what its plan says, and without skipped examples."""
    try:
        state = read_state(output_dir, plan)
        size = os.path.getsize(os.path.join(output_dir, plan.file))
        return size == state["bytes"] and state["source"] == plan.source and not state["skipped"]
    except (FileNotFoundError, KeyError, TypeError, ValueError):
        return False  # No note, or a damaged one.


def checksum(path: str) -> str:
    """SHA-256 of a file in hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _state_file(output_dir, plan):
    return os.path.join(output_dir, STATE_DIR, plan.file + ".json")
