"""TFRecord shards as one array: where each record is, and reading one by its number.

Reading by number is what makes everything above it simple: a shuffled order is a permutation,
a subset is a selection, and resuming is counting on.
"""

import functools
import hashlib
import os
import struct
from typing import List, Sequence, Tuple

import numpy as np
import tensorflow as tf

_HEADER = 12  # Bytes before a record: its length (8) and a checksum.
_FOOTER = 4


class Records:
    """The records of some shards, numbered consecutively.

    If a file is truncated or its framing corrupt, all records that should follow point to the
    break, so that they fail if, and only if, they are read.
    """

    def __init__(self, files: Sequence[str], examples: Sequence[int]):
        """Finds the records, reading nothing but their headers.

        Args:
          files: the shards.
          examples: how many records each should have; -1 when unknown.

        Raises:
          FileNotFoundError: a shard is missing.
          ValueError: a shard has more records than it should.
        """
        self._files = list(files)
        rows = []
        for shard, (file, expected) in enumerate(zip(files, examples)):
            spans, whole = _scan(file)
            if 0 <= expected < len(spans):
                raise ValueError(
                    f"{file}: more than the {expected} records in the data set's description; "
                    "run the converter again."
                )
            missing = int(not whole) if expected < 0 else expected - len(spans)
            end = sum(spans[-1][:2]) + _HEADER + _FOOTER if spans else 0
            spans += [(end, 0, 0)] * missing
            rows += [(shard, number, *span) for number, span in enumerate(spans)]
        # Shard, number, offset, length, checksum.
        self._rows = np.array(rows, np.int64).reshape(-1, 5)

    @functools.cached_property
    def _tensors(self) -> Tuple[tf.Tensor, tf.Tensor]:
        """Files and rows. Not before something is read: a program that only asks what records there
        are would otherwise take the memory of every GPU."""
        with tf.init_scope(), tf.device("CPU:0"):
            return tf.constant(self._files), tf.constant(self._rows)

    @property
    def counts(self) -> List[int]:
        """Number of records in each shard, including those after a break."""
        return np.bincount(self._rows[:, 0], minlength=len(self._files)).tolist()

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def checksum(self) -> str:
        """SHA-256, in hex, of the lengths and checksums of all records in their order.

        It is the same however the records are divided into shards.
        """
        return hashlib.sha256(self._rows[:, 3:].astype("<i8").tobytes()).hexdigest()

    def name(self, record: int) -> str:
        """The name of a record in messages: its file and its number there."""
        shard, number, *_ = self._rows[record]
        return f"{self._files[shard]}: record {number}"

    def read(self, record) -> tf.data.Dataset:
        """One record as a data set of one string scalar; checksums are verified.

        Args:
          record: int64 scalar.
        """
        files, rows = self._tensors
        shard, _, offset, length, _ = tf.unstack(rows[record])
        variant = tf.raw_ops.TFRecordDatasetV2(
            filenames=[files[shard]],
            compression_type="",
            buffer_size=length + _HEADER + _FOOTER,
            byte_offsets=[offset],
        )
        return tf.data.experimental.from_variant(variant, tf.TensorSpec([], tf.string)).take(1)


def _scan(file: str) -> Tuple[List[Tuple[int, int, int]], bool]:
    """(offset, length, checksum) of each record, and whether the file ends where the last does."""
    if not os.path.exists(file):
        raise FileNotFoundError(f"{file}: this shard is missing; run the converter again.")
    size = os.path.getsize(file)
    spans, offset = [], 0
    with open(file, "rb", buffering=0) as stream:
        header = stream.read(_HEADER)
        while offset + _HEADER + _FOOTER <= size:
            (length,) = struct.unpack("<Q", header[:8])
            end = offset + _HEADER + length + _FOOTER
            if end > size:
                break
            stream.seek(end - _FOOTER)
            around = stream.read(_FOOTER + _HEADER)  # With the header of the next record.
            (checksum,), header = struct.unpack("<I", around[:_FOOTER]), around[_FOOTER:]
            spans.append((offset, length, checksum))
            offset = end
    return spans, offset == size
