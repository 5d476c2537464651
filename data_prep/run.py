"""Runs a conversion so that it survives being killed.

When run again, the same conversion finds the finished shards and writes the others. `dataset.json`
is written last: a directory that has one is complete.
"""

import contextlib
import os
import sys
from typing import Callable, Dict, Sequence

from adl_tf.data.description import DESCRIPTION_FILE, write_dataset_description
from data_prep import output_directory, processes
from data_prep.conversion import Conversion, drop_duplicates
from data_prep.describe import describe, find_oddities
from data_prep.errors import ConversionError, ErrorCount
from data_prep.shards import ShardPlan, has_note, is_finished, plan_shards

Writer = Callable[[Conversion, str, Sequence[ShardPlan], ErrorCount], None]


def run_conversion(
    conversion: Conversion,
    output_dir: str,
    *,
    write: Writer = processes.write,
    num_shards: int = 4,
    max_errors: int = 0,
) -> Dict[str, object]:
    """Converts a data set, or what an earlier conversion of it left to do.

    Shards whose files or options have changed since, or in which examples were skipped, are written
    again.

    Args:
      conversion: what to convert.
      output_dir: directory of the shards; created if missing.
      write: writes the shards it is given, `processes.write` or `beam.write` with their options.
      num_shards: per split, fewer where a split has fewer examples.
      max_errors: bad examples that are reported and skipped; more fail at the end.

    Returns:
      {"examples": {split: count}, "shards": count, "skipped": count}.

    Raises:
      ConversionError: too many bad examples, a split without examples, an output directory
        that holds something else or cannot be written.
    """
    for note in conversion.notes:
        print(f"note: {note}", file=sys.stderr)
    splits, duplicates = drop_duplicates(conversion.splits)
    settings = (tuple(conversion.class_names), sorted(conversion.options.items()))
    plans = plan_shards(splits, num_shards, settings)
    errors = ErrorCount(max_errors)
    try:
        with output_directory.exclusive(output_dir):
            output_directory.claim(output_dir, conversion, plans)
            unfinished = [plan for plan in plans if not is_finished(output_dir, plan)]
            if unfinished:
                with contextlib.suppress(FileNotFoundError):
                    os.remove(os.path.join(output_dir, DESCRIPTION_FILE))
            begun = sum(has_note(output_dir, plan) for plan in unfinished)
            if begun:
                print(f"changed since: {begun} of {len(plans)} shards.", file=sys.stderr)
            for fault in (*conversion.faults, *duplicates):
                errors.add(fault)
            try:
                write(conversion, output_dir, unfinished, errors)
            finally:
                errors.report()
            if errors.too_many:
                raise ConversionError(f"{errors.summary()} {conversion.propose()}".strip())
            description = describe(conversion, output_dir, plans)
            write_dataset_description(description, output_dir)
    except OSError as error:
        raise ConversionError(
            f"{error.filename or output_dir}: cannot be written ({error.strerror or error}); "
            "make room or choose another output directory, then run the same command again: it "
            "resumes where it stopped."
        ) from error
    for warning in find_oddities(description):
        print(f"warning: {warning}", file=sys.stderr)
    return {
        "examples": {name: split.examples for name, split in description.splits.items()},
        "shards": len(plans),
        "skipped": errors.count,
    }
