"""Conversion in processes of this machine.

They start without TensorFlow: what worker processes import must not import it.
"""

import collections
import contextlib
import itertools
import multiprocessing.connection
import os
import signal
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Sequence

from tqdm import tqdm

from data_prep.conversion import Conversion
from data_prep.errors import BadExample, ConversionError, ErrorCount
from data_prep.shards import ShardPlan, write_shard


def write(
    conversion: Conversion,
    output_dir: str,
    plans: Sequence[ShardPlan],
    errors: ErrorCount,
    *,
    num_workers: int = 1,
) -> None:
    """Writes the shards one after another, while processes encode the examples.

    Args:
      conversion: what to convert.
      output_dir: directory of the shards.
      plans: the shards to write.
      errors: counts the bad examples, as they come.
      num_workers: processes; 1 encodes in this one.

    Raises:
      ConversionError: a worker process died.
      OSError: a shard cannot be written.
    """
    items = [item for plan in plans for item in plan.items]
    results = _encode_all(conversion.encode, items, num_workers)
    bar = tqdm(total=len(items), unit="image", file=sys.stderr, disable=not plans)

    def watch(plan):
        for result in itertools.islice(results, len(plan.items)):
            bar.update()
            if isinstance(result, BadExample):
                errors.add(result)
            yield result

    with bar, contextlib.closing(results):
        for plan in plans:
            write_shard(output_dir, plan, watch(plan), len(conversion.class_names))


def _encode_all(encode, items, num_workers):
    """Encodes in parallel and in order, never more than a few examples ahead."""
    if num_workers == 1:
        yield from map(encode, items)
        return
    # TensorFlow's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(num_workers, context, initializer=_start_worker) as pool:
        pending = collections.deque()
        try:
            for item in items:
                with _sigint_blocked():
                    pending.append(pool.submit(encode, item))
                if len(pending) > 4 * num_workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except BrokenProcessPool:
            raise ConversionError(
                "a worker process died, perhaps out of memory; lower --num_workers and run the "
                "same command again: it resumes where it stopped."
            ) from None
        finally:
            for future in pending:
                future.cancel()


@contextlib.contextmanager
def _sigint_blocked():
    """Ctrl-C never comes to processes that start in the block: it reaches all of a terminal's, and
    would find some that cannot ignore it yet."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker():
    """Leaves Ctrl-C to the parent, and ends this worker when its parent is killed, which would
    leave it waiting forever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sentinel = multiprocessing.parent_process().sentinel

    def watch():
        multiprocessing.connection.wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
