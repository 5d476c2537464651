"""What a user is told when a stream of examples fails."""

import contextlib
from typing import Iterator

import tensorflow as tf

from adl_tf.data.reader import RecordReader


@contextlib.contextmanager
def one_line_failures(*readers: RecordReader) -> Iterator[None]:
    """Turns the failure of a stream into the one line that its reader has for it.

    Raises:
      ValueError: a reader met one bad record too many; the message names it.
    """
    try:
        yield
    except tf.errors.OpError:
        for reader in readers:
            if reader.failure:
                raise ValueError(reader.failure) from None
        raise
