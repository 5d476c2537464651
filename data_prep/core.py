"""What all converters share: parallel conversion into shards that survives being killed.

A shard is written under a temporary name and renamed when it is whole; what it holds lies in a
hidden folder beside it. The same command started again finds the finished shards there and
goes on. `dataset.json` is written last: a directory that has one is complete.
"""

import collections
import contextlib
import dataclasses
import fcntl
import functools
import glob
import hashlib
import itertools
import json
import multiprocessing.connection
import os
import signal
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Callable, Dict, Iterable, Iterator, List, Mapping, Sequence, Tuple, Union

import numpy as np
from absl import app, flags, logging
from tqdm import tqdm

from adl_tf.data.description import (
    DESCRIPTION_FILE,
    IGNORE_LABEL,
    DatasetDescription,
    Shard,
    Split,
    save_description,
)
from adl_tf.files import write_json, write_text
from data_prep import examples
from data_prep.examples import BadExample, EncodedExample, Item

_STATE_DIR = ".conversion"
_TEMPORARY = ".tmp-"


Result = Union[EncodedExample, BadExample]


class ConversionError(ValueError):
    """Why a conversion cannot go on, in one line."""


@dataclasses.dataclass(frozen=True)
class Conversion:
    """What a converter hands to the core.

    Attributes:
      name: of the data set.
      class_names: one per class.
      colors: (red, green, blue) per class.
      source: where the images come from.
      splits: the items of each split, in the order of the records.
      convert: makes an example of an item or raises BadExample; picklable, its options are the
        keywords of a functools.partial.
      unlabelled: the splits without label maps.
      faults: what the listing found wrong already, such as an unreadable list of examples.
      official_ids: of the classes in the data set's own files; empty where these are the same.
    """

    name: str
    class_names: Sequence[str]
    colors: Sequence[Tuple[int, int, int]]
    source: str
    splits: Mapping[str, Sequence[Item]]
    convert: Callable[[Item], examples.Example]
    unlabelled: Tuple[str, ...] = ()
    faults: Tuple[BadExample, ...] = ()
    official_ids: Tuple[int, ...] = ()

    @property
    def encode(self) -> Callable[[Item], Result]:
        """Converts one item; made of the little that worker processes need to know."""
        return functools.partial(examples.try_encode, self.convert, len(self.class_names))


@dataclasses.dataclass(frozen=True)
class ShardPlan:
    """One shard to be written.

    Attributes:
      split: it belongs to.
      file: its name.
      items: what goes into it.
    """

    split: str
    file: str
    items: Tuple[Item, ...]


def run(
    conversion: Conversion,
    output_dir: str,
    *,
    num_shards: int = 4,
    num_workers: int = 1,
    max_errors: int = 0,
) -> Dict[str, object]:
    """Converts a data set, or what an earlier, killed run of the same conversion left to do.

    Shards in which examples were skipped are made anew, since the examples may be mended.

    Args:
      conversion: what to convert.
      output_dir: of the shards; made when missing.
      num_shards: per split, fewer where a split has fewer examples.
      num_workers: processes; 1 converts in this one.
      max_errors: bad examples that are reported and skipped before the conversion fails.

    Returns:
      {"examples": {split: count}, "shards": count, "skipped": count}.

    Raises:
      ConversionError: too many bad examples, a split without examples, an output directory
        that holds something else or cannot be written.
    """
    write = functools.partial(_write_in_processes, num_workers=num_workers)
    return run_with(write, conversion, output_dir, num_shards=num_shards, max_errors=max_errors)


def run_with(
    write: Callable[[Conversion, str, Sequence[ShardPlan], "ErrorCount"], None],
    conversion: Conversion,
    output_dir: str,
    *,
    num_shards: int,
    max_errors: int,
) -> Dict[str, object]:
    """`run` with another way to work off the shards.

    Args:
      write: calls `write_shard` for each plan and counts the errors.
      conversion: see `run`, as the rest, the result and what is raised.
      output_dir: of the shards.
      num_shards: per split.
      max_errors: bad examples to skip.
    """
    splits, duplicates = _drop_duplicates(conversion.splits)
    plans = _plan_shards(splits, num_shards)
    try:
        with _exclusive(output_dir):
            _claim(output_dir, conversion, plans)
            todo = [plan for plan in plans if not _is_finished(output_dir, plan)]
            description = os.path.join(output_dir, DESCRIPTION_FILE)
            if todo and os.path.exists(description):
                os.remove(description)
            errors = ErrorCount(max_errors)
            for fault in (*conversion.faults, *duplicates):
                errors.add(str(fault))
            write(conversion, output_dir, todo, errors)
            return _describe(conversion, output_dir, plans, skipped=errors.count)
    except OSError as error:
        raise ConversionError(
            f"{error.filename or output_dir}: cannot be written ({error.strerror or error}); "
            "make room or choose another output directory, then start the same command again: "
            "it goes on where it stopped."
        ) from error


def write_shard(
    output_dir: str, plan: ShardPlan, results: Iterable[Result], num_classes: int
) -> None:
    """Writes one shard and what it holds, each whole or not at all.

    Args:
      output_dir: of the shards.
      plan: the shard.
      results: of its items, in order.
      num_classes: of the data set.

    Raises:
      OSError: the shard cannot be written.
    """
    import tensorflow as tf  # Here, so that worker processes start without it.

    from adl_tf.data import schema

    path = os.path.join(output_dir, plan.file)
    temporary = os.path.join(output_dir, _TEMPORARY + plan.file)
    sizes, classes, skipped, pixels = [], [], [], np.zeros(256, np.int64)
    try:
        with tf.io.TFRecordWriter(temporary) as writer:
            for result in results:
                if isinstance(result, BadExample):
                    skipped.append(str(result))
                    continue
                record = schema.encode_example(
                    filename=result.name,
                    image=result.image,
                    image_format=result.image_format,
                    height=result.size[0],
                    width=result.size[1],
                    label=result.label,
                )
                writer.write(record)
                sizes.append(result.size)
                classes.append(" ".join(map(str, np.flatnonzero(result.pixels[:num_classes]))))
                pixels += result.pixels
        state = {
            "skipped": skipped,
            "bytes": os.path.getsize(temporary),
            "sha256": checksum(temporary),
            "classes": classes,
            "min_size": np.min(sizes, axis=0).tolist() if sizes else None,
            "max_size": np.max(sizes, axis=0).tolist() if sizes else None,
            "class_pixels": pixels[:num_classes].tolist(),
            "ignored_pixels": int(pixels[IGNORE_LABEL]),
        }
        os.replace(temporary, path)
    except tf.errors.OpError as error:
        raise OSError(0, schema.describe_error(error), path) from error
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)
    write_json(state, _state_file(output_dir, plan.file))


def load_state(output_dir: str, shard_file: str) -> Dict[str, object]:
    """What `write_shard` noted about a shard.

    Raises:
      FileNotFoundError: the shard was not written.
    """
    with open(_state_file(output_dir, shard_file), encoding="utf-8") as file:
        return json.load(file)


def checksum(path: str) -> str:
    """SHA-256 of a file in hex."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def list_files(directory: str, suffixes: Tuple[str, ...]) -> List[str]:
    """Sorted names of the files of a directory that end in one of the suffixes.

    Raises:
      ConversionError: no such directory, or no such file in it.
    """
    if not os.path.isdir(directory):
        raise ConversionError(f"{directory}: no such directory; is the archive unpacked there?")
    names = sorted(name for name in os.listdir(directory) if name.lower().endswith(suffixes))
    if not names:
        raise ConversionError(f"{directory}: no {' or '.join(suffixes)} files there.")
    return names


def main(plan: Callable[..., Conversion], options: Sequence[str] = (), input_dir=True) -> None:
    """The command line of a converter; prints one JSON line and exits.

    Args:
      plan: makes the conversion of the input directory and the options.
      options: names of the converter's own flags, given to plan as keywords.
      input_dir: False for a converter that reads nothing.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if input_dir:
        flags.DEFINE_string("input_dir", None, "Directory of the unpacked archive.", required=True)
    flags.DEFINE_string("output_dir", None, "Directory of the TFRecords.", required=True)
    flags.DEFINE_integer("num_shards", 4, "Shards per split.", lower_bound=1)
    flags.DEFINE_integer("num_workers", os.cpu_count(), "Processes.", lower_bound=1)
    flags.DEFINE_integer("max_errors", 0, "Bad examples to skip before failing.", lower_bound=0)
    flags.DEFINE_string(
        "beam_options",
        None,
        "Convert as an Apache Beam pipeline with these options instead of in processes of this "
        'machine, such as "--runner=DirectRunner --direct_num_workers=2".',
    )

    def convert(argv):
        if len(argv) > 1:
            raise app.UsageError(f"unexpected argument {argv[1]!r}")
        values = flags.FLAGS.flag_values_dict()
        try:
            conversion = plan(
                *([values["input_dir"]] if input_dir else []),
                **{name: values[name] for name in options},
            )
            summary = run_with(
                _choose_writer(values["num_workers"], values["beam_options"]),
                conversion,
                values["output_dir"],
                num_shards=values["num_shards"],
                max_errors=values["max_errors"],
            )
        except ConversionError as error:
            print(f"error: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("interrupted; the same command goes on where it stopped.", file=sys.stderr)
            return 130
        print(json.dumps(summary))
        return 0

    app.run(convert)


class ErrorCount:
    """Names each bad example and fails at one too many."""

    def __init__(self, allowed: int):
        self.allowed = allowed
        self.count = 0

    def add(self, message: str) -> None:
        """Counts one.

        Raises:
          ConversionError: more than allowed.
        """
        self.count += 1
        if self.count > self.allowed:
            raise ConversionError(
                f"{message} That makes {self.count} bad examples, {self.allowed} allowed: mend "
                "them or raise --max_errors."
            )
        tqdm.write(f"skipped: {message}", file=sys.stderr)


def _choose_writer(num_workers, beam_options):
    if beam_options is None:
        return functools.partial(_write_in_processes, num_workers=num_workers)
    try:
        from data_prep import beam  # An extra of the package.
    except ImportError as error:
        raise ConversionError(f"--beam_options: {error}; pip install 'adl-tf[beam]'.") from error
    return functools.partial(beam.write, options=beam_options.split())


def _drop_duplicates(splits):
    kept, errors = {}, []
    for split, items in splits.items():
        if not items:
            raise ConversionError(f"split {split!r} has no examples.")
        first = {}
        for item in items:
            if item.name in first:
                errors.append(
                    BadExample(
                        item.image if isinstance(item.image, str) else item.name,
                        f"the name {item.name!r} appears twice in split {split!r}",
                        "rename one or remove it",
                    )
                )
            else:
                first[item.name] = item
        kept[split] = list(first.values())
    return kept, errors


def _plan_shards(splits, num_shards):
    plans = []
    for split, items in splits.items():
        count = min(num_shards, len(items))
        bounds = [len(items) * shard // count for shard in range(count + 1)]
        for shard, (start, end) in enumerate(zip(bounds, bounds[1:])):
            file = f"{split}-{shard:05d}-of-{count:05d}.tfrecord"
            plans.append(ShardPlan(split, file, tuple(items[start:end])))
    return plans


@contextlib.contextmanager
def _exclusive(output_dir):
    """Waits until no other conversion writes there; sweeps up what a killed one left."""
    os.makedirs(os.path.join(output_dir, _STATE_DIR), exist_ok=True)
    with open(os.path.join(output_dir, _STATE_DIR, "lock"), "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logging.info("%s: waiting for another conversion to finish.", output_dir)
            fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in glob.glob(os.path.join(glob.escape(output_dir), _TEMPORARY + "*")):
            os.remove(leftover)
        yield


def _claim(output_dir, conversion, plans):
    """Makes sure that what lies in the directory was made from the same inputs and options."""
    convert = conversion.convert
    options = convert.keywords if isinstance(convert, functools.partial) else {}
    digest = hashlib.sha256()
    for part in (conversion.name, conversion.class_names, sorted(options.items()), *plans):
        digest.update(repr(part).encode())
    fingerprint = digest.hexdigest()
    file = os.path.join(output_dir, _STATE_DIR, "fingerprint")
    if os.path.exists(file):
        with open(file) as stream:
            if stream.read() == fingerprint:
                return
    if os.path.exists(file) or glob.glob(os.path.join(glob.escape(output_dir), "*.tfrecord")):
        raise ConversionError(
            f"{output_dir}: holds shards of other inputs or options; delete the directory or "
            "choose another."
        )
    write_text(fingerprint, file)


def _write_in_processes(conversion, output_dir, plans, errors, *, num_workers):
    items = [item for plan in plans for item in plan.items]
    results = _encode_all(conversion.encode, items, num_workers)
    bar = tqdm(total=len(items), unit="image", file=sys.stderr, disable=not plans)

    def watch(plan):
        for result in itertools.islice(results, len(plan.items)):
            bar.update()
            if isinstance(result, BadExample):
                errors.add(str(result))
            yield result

    with bar, contextlib.closing(results):
        for plan in plans:
            write_shard(output_dir, plan, watch(plan), len(conversion.class_names))


def _encode_all(encode, items, num_workers) -> Iterator[Result]:
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
                pending.append(pool.submit(encode, item))
                if len(pending) > 4 * num_workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        except BrokenProcessPool:
            raise ConversionError(
                "a worker process died, perhaps for want of memory; lower --num_workers and "
                "start the same command again: it goes on where it stopped."
            ) from None
        finally:
            for future in pending:
                future.cancel()


def _start_worker():
    """Leaves Ctrl-C to the parent, and ends this worker when its parent is killed, which would
    leave it waiting for ever."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sentinel = multiprocessing.parent_process().sentinel

    def watch():
        multiprocessing.connection.wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _state_file(output_dir, shard_file):
    return os.path.join(output_dir, _STATE_DIR, shard_file + ".json")


def _is_finished(output_dir, plan):
    try:
        state = load_state(output_dir, plan.file)
        size = os.path.getsize(os.path.join(output_dir, plan.file))
    except FileNotFoundError:
        return False
    return size == state["bytes"] and not state["skipped"]


def _describe(
    conversion: Conversion, output_dir: str, plans: Sequence[ShardPlan], skipped: int
) -> Dict[str, object]:
    """Writes `dataset.json` once all shards are there; returns what `run` returns."""
    splits = {}
    for split in conversion.splits:
        files = [plan.file for plan in plans if plan.split == split]
        states = [load_state(output_dir, file) for file in files]
        filled = [state for state in states if state["classes"]]
        splits[split] = Split(
            shards=tuple(
                Shard(file, len(state["classes"]), state["sha256"], tuple(state["classes"]))
                for file, state in zip(files, states)
            ),
            labelled=split not in conversion.unlabelled,
            min_size=_reduce(np.min, [state["min_size"] for state in filled]),
            max_size=_reduce(np.max, [state["max_size"] for state in filled]),
            class_pixels=_reduce(np.sum, [state["class_pixels"] for state in states]),
            ignored_pixels=sum(state["ignored_pixels"] for state in states),
        )
    description = DatasetDescription(
        name=conversion.name,
        class_names=tuple(conversion.class_names),
        colors=tuple(map(tuple, conversion.colors)),
        splits=splits,
        source=conversion.source,
        official_ids=tuple(conversion.official_ids),
    )
    save_description(description, output_dir)
    return {
        "examples": {name: split.examples for name, split in splits.items()},
        "shards": len(plans),
        "skipped": skipped,
    }


def _reduce(reduction, rows):
    return tuple(reduction(rows, axis=0).tolist()) if rows else None
