"""Failures of streams as one-line errors."""

import contextlib
from typing import Iterator

import tensorflow as tf

from adl_tf.data.reader import RecordReader


@contextlib.contextmanager
def one_line_failures(*readers: RecordReader) -> Iterator[None]:
    """Turns the failure of a stream into the one-line message of its reader.

    Raises:
      ValueError: a reader met too many bad records; the message names the last one.
    """
    try:
        yield
    except tf.errors.OpError:
        for reader in readers:
            if reader.failure:
                raise ValueError(reader.failure) from None
        raise
