"""The directory that a conversion writes: one conversion at a time, of one set of inputs."""

import contextlib
import glob
import hashlib
import os
from typing import Iterator, Sequence

from absl import logging

from adl_tf.data.description import DESCRIPTION_FILE
from adl_tf.files import exclusive as exclusive_directory
from adl_tf.files import remove_temporaries, write_text
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

    What a conversion left that never came to its end, because inputs were bad and are mended since,
    is removed.

    Raises:
      ConversionError: the directory holds the data set of another conversion.
    """
    digest = hashlib.sha256()
    options = sorted(conversion.options.items())
    for part in (conversion.name, conversion.class_names, options, *plans):
        digest.update(repr(part).encode())
    fingerprint = digest.hexdigest()
    file = os.path.join(output_dir, STATE_DIR, "fingerprint")
    if os.path.exists(file):
        with open(file) as stream:
            if stream.read() == fingerprint:
                return
    shards = glob.glob(os.path.join(glob.escape(output_dir), "*.tfrecord"))
    complete = os.path.exists(os.path.join(output_dir, DESCRIPTION_FILE))
    if os.path.exists(file) and not complete:
        for shard in shards:
            os.remove(shard)
    elif os.path.exists(file) or shards:
        raise ConversionError(
            f"{output_dir}: holds shards of other inputs or options; delete the directory or "
            "choose another."
        )
    write_text(fingerprint, file)
