"""Re-reads a data set of TFRecords and names each bad record: python -m data_prep.verify DIR."""

import json
import os
import shlex
import sys
from typing import Dict, Optional

from absl import app, flags
from tqdm import tqdm

from adl_tf.data.description import DESCRIPTION_FILE, read_dataset_description
from adl_tf.data.foreign_records import list_foreign_splits
from adl_tf.interrupts import raise_interrupts
from adl_tf.startup import import_quietly, restore_stderr
from data_prep.shards import checksum


def verify(dataset_dir: str, num_classes: Optional[int] = None) -> Dict[str, int]:
    """Checks every shard's checksum and decodes every record; names the bad ones on stderr.

    Args:
      dataset_dir: of the TFRecords.
      num_classes: needed only where there is no `dataset.json`.

    Returns:
      {"examples": records read, "bad": bad records and damaged shards}.

    Raises:
      FileNotFoundError: directory, description or a shard is missing.
      ValueError: the description does not fit the shards, or a split is empty.
    """
    import_quietly("tensorflow")
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


def main(argv):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    raise_interrupts()
    restore_stderr()
    if len(argv) != 2:
        raise app.UsageError("give one directory: python -m data_prep.verify DIR")
    try:
        summary = verify(argv[1], flags.FLAGS.num_classes)
    except (OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted. Nothing was changed.", file=sys.stderr)
        return 130
    print(json.dumps(summary))
    if summary["bad"]:
        return 1
    data = f"--gin_param=DATASET_DIR = {argv[1]!r}"
    command = ["python", "-m", "adl_tf.search", "--gin_file=recommended_search.gin", data]
    print(f"next: {shlex.join(command)}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    flags.DEFINE_integer("num_classes", None, "Number of classes of records without dataset.json.")
    app.run(main)
