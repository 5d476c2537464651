"""The directory that a conversion writes: one conversion at a time, of one data set."""

import contextlib
import glob
import os
from typing import Dict, Iterator, Sequence, Set

from absl import logging

from adl_tf.data.description import DESCRIPTION_FILE
from adl_tf.system.files import exclusive as exclusive_directory
from adl_tf.system.files import read_json, remove_temporaries, write_json
from data_prep.conversion import Conversion
from data_prep.errors import ConversionError
from data_prep.shards import STATE_DIR, ShardPlan


@contextlib.contextmanager
def exclusive(output_dir: str) -> Iterator[None]:
    """Waits until no other conversion writes there; removes half-written files of a killed one.

    Args:
      output_dir: created if missing.

    Raises:
      OSError: it cannot be created or written to.
    """

    def waiting():
        logging.info("%s: waiting for another conversion to finish.", output_dir)

    with exclusive_directory(os.path.join(output_dir, STATE_DIR), waiting):
        remove_temporaries(output_dir)
        yield


def claim(output_dir: str, conversion: Conversion, plans: Sequence[ShardPlan]) -> None:
    """Reserves the directory for one data set, and removes what is left of others shards of it.

    Args:
      output_dir: directory of the shards.
      conversion: what is to be converted.
      plans: all shards of it.

    Raises:
      ConversionError: the directory holds another data set.
    """
    source = os.path.realpath(conversion.input_dir) if conversion.input_dir else ""
    state = {"name": conversion.name, "input_dir": source}
    file = os.path.join(output_dir, STATE_DIR, "fingerprint.json")
    found = _read_state(file)
    shards = glob.glob(os.path.join(glob.escape(output_dir), "*.tfrecord"))
    if found != state and (found or shards):
        origin = found.get("input_dir") or found.get("name") or "others"
        raise ConversionError(
            f"{output_dir}: holds shards of {origin}; delete the directory or choose another."
        )
    write_json(state, file)
    _remove_stale(output_dir, {plan.file for plan in plans})


def _read_state(file: str) -> Dict[str, str]:
    if not os.path.exists(file):
        return {}
    try:
        return dict(read_json(file))
    except (TypeError, ValueError) as error:
        raise ConversionError(
            f"{file}: damaged ({error}); delete the directory of the data set and convert again."
        ) from error


def _remove_stale(output_dir: str, planned: Set[str]) -> None:
    """Removes the shards that are planned no longer, their notes first."""
    notes = glob.glob(os.path.join(glob.escape(output_dir), STATE_DIR, "*.tfrecord.json"))
    for note in notes:
        shard = os.path.basename(note)[: -len(".json")]
        if shard not in planned:
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(output_dir, DESCRIPTION_FILE))
            os.remove(note)
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(output_dir, shard))
