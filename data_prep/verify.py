"""Re-reads a data set of TFRecords and names each bad record: python -m data_prep.verify DIR."""

import os
import sys
from typing import Any, Dict, List, Optional, Sequence

from absl import flags
from tqdm import tqdm

from adl_tf.data.description import DESCRIPTION_FILE, read_dataset_description
from adl_tf.data.foreign_records import list_foreign_splits
from adl_tf.programs import importing, run_program
from adl_tf.system.interrupts import Interrupted
from data_prep.shards import checksum


def verify(dataset_dir: str, num_classes: Optional[int] = None) -> Dict[str, int]:
    """Checks every shard's checksum and decodes every record; names the bad ones on stderr.

    Args:
      dataset_dir: directory of the TFRecords.
      num_classes: needed only where there is no `dataset.json`.

    Returns:
      {"examples": records read, "bad": bad records and damaged shards}.

    Raises:
      FileNotFoundError: directory, description or a shard is missing.
      ValueError: the description does not fit the shards, or a split is empty.
    """
    from adl_tf.data.reader import RecordReader  # Here, so that --help does not wait for it.

    examples, faults = 0, 0

    def report(place, fault):
        tqdm.write(f"bad: {place}: {fault}", file=sys.stderr)
        return 1

    for split in _splits(dataset_dir, num_classes):
        reader = RecordReader(dataset_dir, split, num_classes)
        for shard in reader.description.splits[split].shards:
            path = os.path.join(dataset_dir, shard.file)
            if shard.sha256 and checksum(path) != shard.sha256:
                faults += report(path, "checksum differs from the converter's")
        for record in tqdm(range(reader.num_examples), desc=split, unit="image", file=sys.stderr):
            examples += 1
            fault = reader.find_fault(record)
            if fault:
                faults += report(reader.record_name(record), fault)
    return {"examples": examples, "bad": faults}


def _splits(dataset_dir, num_classes):
    if num_classes is None or os.path.exists(os.path.join(dataset_dir, DESCRIPTION_FILE)):
        return list(read_dataset_description(dataset_dir).splits)
    return list_foreign_splits(dataset_dir)


def define_flags() -> None:
    """Defines the flags of the program."""
    flags.DEFINE_integer("num_classes", None, "Number of classes of records without dataset.json.")


def main(directories: Sequence[str]) -> Dict[str, Any]:
    """Runs the program on its argument and flags."""
    if len(directories) != 1:
        raise ValueError("give one directory: python -m data_prep.verify DIR")
    (dataset_dir,) = directories
    num_classes = flags.FLAGS.num_classes
    _splits(dataset_dir, num_classes)
    with importing():
        import adl_tf.data.reader  # noqa: F401
    try:
        return verify(dataset_dir, num_classes)
    except KeyboardInterrupt as interrupt:
        raise Interrupted("Nothing was changed.") from interrupt


def next_command(result: Dict[str, Any]) -> List[str]:
    """The command that searches on the records."""
    del result
    _, dataset_dir = flags.FLAGS(sys.argv)
    data = f"--gin_param=DATASET_DIR = {dataset_dir!r}"
    return ["adl_tf.search", "--gin_file=recommended_search.gin", data]


if __name__ == "__main__":
    define_flags()
    run_program(main, next_command, arguments=True)
