"""The directory that a conversion writes: one conversion at a time, of one set of inputs."""

import contextlib
import glob
import hashlib
import os
import sys
from typing import Dict, Iterable, Iterator, Sequence

from absl import logging

from adl_tf.data.description import DESCRIPTION_FILE
from adl_tf.files import exclusive as exclusive_directory
from adl_tf.files import read_json, remove_temporaries, write_json
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
    """Checks that what is in the directory was made from the same inputs and options.

    Args:
      output_dir: of the shards.
      conversion: what is to be converted.
      plans: all shards of it.

    What a conversion of the same options left that never came to its end, because inputs were bad
    and are mended since, is removed.

    Raises:
      ConversionError: the directory holds the data set of another conversion.
    """
    shards = sorted({plan.file.rpartition("-of-")[2] for plan in plans})
    options = sorted(conversion.options.items())
    settings = (conversion.name, tuple(conversion.class_names), options, shards)
    state = {"settings": _digest(settings), "inputs": _digest(plans)}
    file = os.path.join(output_dir, STATE_DIR, "fingerprint.json")
    found = _read_state(file)
    if found == state:
        return
    complete = os.path.exists(os.path.join(output_dir, DESCRIPTION_FILE))
    if found.get("settings") == state["settings"] and not complete:
        _remove_shards(output_dir)
    elif found or glob.glob(os.path.join(glob.escape(output_dir), "*.tfrecord")):
        raise ConversionError(
            f"{output_dir}: holds shards of other inputs or options; delete the directory or "
            "choose another."
        )
    write_json(state, file)


def _read_state(file: str) -> Dict[str, str]:
    if not os.path.exists(file):
        return {}
    try:
        return dict(read_json(file))
    except (TypeError, ValueError) as error:
        raise ConversionError(
            f"{file}: damaged ({error}); delete the directory of the data set and convert again."
        ) from error


def _remove_shards(output_dir: str) -> None:
    """Removes the shards of a conversion that never came to its end, their notes first."""
    notes = glob.glob(os.path.join(glob.escape(output_dir), STATE_DIR, "*.tfrecord.json"))
    if notes:
        print(f"the inputs changed: {len(notes)} shards are written again.", file=sys.stderr)
    for note in notes:
        os.remove(note)
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(output_dir, os.path.basename(note)[: -len(".json")]))


def _digest(parts: Iterable[object]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(repr(part).encode())
    return digest.hexdigest()
