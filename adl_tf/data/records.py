"""TFRecord shards as one array: where each record lies, and reading one by its number.

Reading by number is what makes everything above it simple: a shuffled order is a permutation,
a subset is a selection, and to resume is to go on counting.
"""

import os
import struct
from typing import List, NamedTuple, Sequence, Tuple

import numpy as np
import tensorflow as tf

_HEADER = 12  # Bytes before a record: its length (8) and a checksum.
_FOOTER = 4


class RecordIndex(NamedTuple):
    """Where each of N records lies.

    Attributes:
      files: path of each shard.
      shard: int64 [N], which file.
      number: int64 [N], which record of that file.
      offset: int64 [N], its first byte there.
      length: int64 [N], of its data in bytes.
    """

    files: Tuple[str, ...]
    shard: np.ndarray
    number: np.ndarray
    offset: np.ndarray
    length: np.ndarray

    def name(self, record: int) -> str:
        """How messages call a record."""
        return f"{self.files[self.shard[record]]}: record {self.number[record]}"


def index_records(files: Sequence[str], examples: Sequence[int]) -> RecordIndex:
    """Finds the records of the shards, reading nothing but their headers.

    Where a file breaks off or its framing is corrupt, each record that should follow is listed
    at the place of the break, so that it fails when, and only when, it is read.

    Args:
      files: the shards.
      examples: how many records each should have; -1 when unknown.

    Raises:
      FileNotFoundError: a shard is missing.
      ValueError: a shard has more records than it should.
    """
    rows = []
    for shard, (file, expected) in enumerate(zip(files, examples)):
        spans, whole = _scan(file)
        if 0 <= expected < len(spans):
            raise ValueError(
                f"{file}: more than the {expected} records that the data set's description "
                "counts; run the converter again."
            )
        missing = int(not whole) if expected < 0 else expected - len(spans)
        spans += [(sum(spans[-1]) + _HEADER + _FOOTER if spans else 0, 0)] * missing
        rows += [(shard, number, *span) for number, span in enumerate(spans)]
    columns = np.array(rows, np.int64).reshape(-1, 4).T
    return RecordIndex(tuple(files), *columns)


def _scan(file: str) -> Tuple[List[Tuple[int, int]], bool]:
    """(offset, length) of each record, and whether the file ends where the last one does."""
    if not os.path.exists(file):
        raise FileNotFoundError(f"{file}: this shard is missing; run the converter again.")
    size = os.path.getsize(file)
    spans, offset = [], 0
    with open(file, "rb", buffering=0) as stream:
        while offset + _HEADER + _FOOTER <= size:
            stream.seek(offset)
            (length,) = struct.unpack("<Q", stream.read(_HEADER)[:8])
            end = offset + _HEADER + length + _FOOTER
            if end > size:
                break
            spans.append((offset, length))
            offset = end
    return spans, offset == size


def read_record(file, offset, length) -> tf.data.Dataset:
    """The record at one place as a data set of one string scalar; checksums are verified.

    Args:
      file: string scalar.
      offset: int64 scalar.
      length: int64 scalar, a hint only: that many bytes are read at once.
    """
    variant = tf.raw_ops.TFRecordDatasetV2(
        filenames=[file],
        compression_type="",
        buffer_size=length + _HEADER + _FOOTER,
        byte_offsets=[offset],
    )
    return tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.string)).take(1)
