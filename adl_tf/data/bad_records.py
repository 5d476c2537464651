"""Bad records of a stream: each is reported once, and too many end the stream."""

from typing import Callable, Optional

import tensorflow as tf
from absl import logging


class BadRecords:
    """The bad records that the streams of a reader met.

    Attributes:
      failure: why a stream failed, in one line; None before.
    """

    def __init__(
        self, allowed: int, name: Callable[[int], str], find_fault: Callable[[int], Optional[str]]
    ):
        """Starts with none.

        Args:
          allowed: how many different ones are reported and skipped before a stream fails.
          name: gives the name of a record in messages.
          find_fault: says in a few words what is wrong with a record; None if nothing is.
        """
        self.failure = None
        self._allowed = allowed
        self._name = name
        self._find_fault = find_fault
        self._faults = {}

    def drop(self, dataset: tf.data.Dataset, available: int) -> tf.data.Dataset:
        """Reports and removes the elements whose "valid" is False, and that key from the rest.

        Args:
          dataset: dicts with "record" (int64 scalar) and "valid" (bool scalar).
          available: number of records the data set draws from; when all are bad it fails
            however many are allowed.

        Raises:
          tf.errors.InvalidArgumentError: while iterating, at too many bad records.
        """

        def report(record):
            return self._report(int(record), min(self._allowed, available - 1))

        def reject(record):
            failure = tf.numpy_function(report, [record], tf.string)
            with tf.control_dependencies([tf.debugging.Assert(failure == "", [failure])]):
                return tf.constant(False)

        @tf.autograph.experimental.do_not_convert
        def is_good(element):
            return tf.cond(element["valid"], lambda: True, lambda: reject(element["record"]))

        @tf.autograph.experimental.do_not_convert
        def strip(element):
            return {k: v for k, v in element.items() if k not in ("record", "valid")}

        return dataset.filter(is_good).map(strip)

    def _report(self, record, allowed):
        """Returns why the stream fails; an empty string when it does not."""
        name = self._name(record)
        if record not in self._faults:
            self._faults[record] = self._find_fault(record) or "could not be read once"
            logging.warning("%s: skipped: %s", name, self._faults[record])
        if len(self._faults) <= allowed:
            return ""
        self.failure = (
            f"{name}: {self._faults[record]}. {len(self._faults)} bad records, {allowed} allowed: "
            "fix the data or raise max_bad_records."
        )
        return self.failure
