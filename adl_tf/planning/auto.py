"""A whole run: from a folder of images and masks to a served network and a report."""

import contextlib
import hashlib
import importlib
import os
import shutil
import time
from typing import Any, Dict, List, Mapping, Optional, Tuple

import numpy as np

from adl_tf.data.description import DESCRIPTION_FILE
from adl_tf.data.identity import describe_changes, identify, parse_identity
from adl_tf.data.reader import RecordReader
from adl_tf.planning.commands import extend, make_stages, seconds_left
from adl_tf.planning.fingerprint import TRAIN, VAL, Fingerprint, take_fingerprint
from adl_tf.planning.pictures import draw_examples, draw_shares, predict_examples
from adl_tf.planning.plan import EVALUATION, EXPORT, REPORT, TRAINING
from adl_tf.planning.plan_stage import PLAN, Wishes, write_plan
from adl_tf.planning.report import missed_classes, predict_command, write_card, write_report
from adl_tf.planning.settings import usable_short_side
from adl_tf.planning.stages import Stage, State, run_stages
from adl_tf.serving.latency import measure_latency
from adl_tf.system.files import exclusive, make_directory, write_json
from adl_tf.system.progress import say
from adl_tf.system.settings import Name, Positive, configurable
from adl_tf.visualization.figure import save_figure
from data_prep.conversion import Conversion
from data_prep.errors import BadExample
from data_prep.images import read_size
from data_prep.recognize import FOLDER, as_arguments, plan_options, recognize
from data_prep.shards import checksum
from data_prep.survey import BINARY, are_binary

CONVERSION = "convert"
RECORDS, PREDICTIONS, FINGERPRINT_FILE = "records", "predictions", "fingerprint.json"
_SIZES_READ = 50  # Of the images of a folder.
_MUCH_LARGER = 1.5  # Less is not worth the detail that is lost.


@configurable
def run_auto(
    input_dir: str,
    output_dir: str,
    hours: Positive = 2.0,
    multi_adds: Optional[Positive] = None,
    plan_only: bool = False,
    conversion: Optional[Mapping[str, Any]] = None,
    search: Name = "auto",
    genotype: Optional[Name] = None,
    preset: Optional[Name] = None,
) -> Dict[str, Any]:
    """Converts, plans, searches, trains, evaluates, exports, compares and reports.

    The same call resumes where the last one stopped. With more hours than before, on a run that is
    done, a further training starts from the weights of the last one and takes the hours that were
    added.

    Args:
      input_dir: a folder in a layout that a converter of `data_prep` reads, or of records.
      output_dir: directory of everything that is written.
      hours: for the whole run.
      multi_adds: billions that the network may cost at the median image size; None for a small one.
      plan_only: stop once the plan is written.
      conversion: flags of the converter and their values, such as {"mask_values": [0, 255]}; masks
        of two classes that hold nothing but 0 and 255 are recognized without.
      search: "on", "off", or "auto", which leaves it to the plan.
      genotype: what to train without a search: a file, or "auto_deeplab".
      preset: network that comes with the package, whose weights to start from without a search.

    Returns:
      plan (folder of its files), and unless it stops there: miou (of the evaluation), export,
      report, network (model directory), command (labels images, module and arguments), seconds (of
      all stages, the trial included).

    Raises:
      ValueError, FileNotFoundError: input that cannot be used, hours too few for any plan, or a
        trial that failed.
      StageFailure: a program failed, and has said why.
    """
    input_dir, output_dir = map(os.path.abspath, (input_dir, output_dir))
    if not os.path.isdir(input_dir):
        raise FileNotFoundError(f"{input_dir}: no such folder.")
    make_directory(output_dir)
    wishes = Wishes(hours, multi_adds, search, genotype, preset)
    with exclusive(output_dir):
        state = State(output_dir)
        with state.preparing():
            _check_input(state, input_dir, output_dir)
            dataset_dir = _convert(state, input_dir, output_dir, dict(conversion or {}), hours)
            _check_records(state, dataset_dir, output_dir)
            fingerprint = _take_fingerprint(dataset_dir, output_dir)
        plan_dir = os.path.join(output_dir, PLAN)
        if state.get("plan") is None:
            write_plan(state, fingerprint, dataset_dir, output_dir, wishes)
        _check_wishes(state, output_dir, wishes)
        if plan_only:
            say(f"Edit {plan_dir}/*.gin if you like; without --plan_only it is carried out.")
            return {"plan": plan_dir}
        say(f"Watch it: tensorboard --logdir {output_dir}")
        evaluation, export = _carry_out(state, output_dir, dataset_dir, hours)
        started = time.monotonic()
        network = os.path.dirname(os.path.dirname(evaluation["evaluation"]))
        new = state.get("latency", {}).get("of") != network
        if new:
            size = state.get("plan")["settings"]["image_size"]
            latency = measure_latency(network, export["export_dir"], size)
            folder = os.path.join(output_dir, PREDICTIONS)
            shown = predict_examples(dataset_dir, export["export_dir"], folder)
            state.set(latency={"of": network, **latency}, predictions=shown)
        card = write_card(state, fingerprint, evaluation, export)
        report = write_report(state, fingerprint, dataset_dir, output_dir)
        if new:
            state.spend(REPORT, time.monotonic() - started)
    missed = missed_classes(fingerprint, evaluation)
    if missed:
        say(f"warning: {missed}")
    say(f"Report: {report}")
    return {
        "plan": plan_dir,
        "miou": evaluation["miou"],
        "export": export["export_dir"],
        "card": card,
        "report": report,
        "network": network,
        "command": predict_command(state, export),
        "seconds": round(sum(state.spent.values()), 1),
    }


def _check_wishes(state: State, output_dir: str, wishes: Wishes) -> None:
    """Raises ValueError if the plan is one for other wishes."""
    for name, value in wishes.network().items():
        planned = state.get("wishes")[name]
        if value != planned:
            raise ValueError(
                f"{output_dir}: planned with --{name}={planned}; give another --output_dir for "
                "another network."
            )
    if wishes.hours != state.get("hours") and TRAINING not in state.stages:
        raise ValueError(
            f"{output_dir}: planned with --hours={state.get('hours'):g}, which are not over; "
            "give that, and more hours afterwards, or another --output_dir."
        )


def _carry_out(
    state: State, output_dir: str, dataset_dir: str, hours: float
) -> Tuple[Dict[str, Any], Dict[str, Any]]:
    """Runs what is not done; returns what the last evaluation and the last export printed."""

    def stages() -> List[Stage]:
        return make_stages(state, output_dir, dataset_dir, hours)

    def of(kind: str) -> List[Stage]:
        return [stage for stage in stages() if stage.name.startswith(kind)]

    def run(until: str) -> None:
        run_stages(state, stages(), until, hours)

    if of(TRAINING)[-1].name in state.stages and hours > state.get("hours"):
        extend(state, hours, asked=True)
    run(of(TRAINING)[-1].name)
    if of(EVALUATION)[-1].name not in state.stages:
        extend(state, hours, asked=False)
    evaluation, export = of(EVALUATION)[-1], of(EXPORT)[-1]
    run(export.name)
    for name in state.get("plan")["compared_steps"]:
        # They must not take the time that was given for the network.
        if name not in state.stages and seconds_left(state, hours, (name, REPORT)) < 0:
            break
        run(name)
    return tuple(state.stages[stage.name]["result"] for stage in (evaluation, export))


def _check_input(state: State, input_dir: str, output_dir: str) -> None:
    """Raises ValueError if the directory is of another folder, or if the folder has changed."""
    listing = None if _holds_records(input_dir) else _listing(input_dir, output_dir)
    if not state.stages and state.get("plan") is None:
        state.set(input=input_dir, listing=listing, data=None)
    if state.get("input") != input_dir:
        raise ValueError(
            f"--output_dir holds the run of {state.get('input')}; give another one for {input_dir}."
        )
    kept = state.get("listing")
    # Earlier versions had no checksum.
    if CONVERSION in state.stages and kept != (listing and listing[: len(kept)]):
        raise ValueError(
            f"{input_dir} has changed since it was converted (files, bytes and checksum {listing}, "
            f"then {kept}); give another --output_dir to start with it as it is, or bring back the "
            "folder as it was."
        )
    state.set(listing=listing)


def _listing(folder: str, left_out: str) -> List[Any]:
    """Number of files and of bytes, and a checksum of names and contents."""
    paths = sorted(
        os.path.join(path, name)
        for path, _, names in os.walk(folder)
        for name in names
        if os.path.commonpath([path, left_out]) != left_out
    )
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{os.path.relpath(path, folder)}\0{checksum(path)}\0".encode())
    return [len(paths), sum(map(os.path.getsize, paths)), digest.hexdigest()[:16]]


def _holds_records(folder: str) -> bool:
    return os.path.exists(os.path.join(folder, DESCRIPTION_FILE))


def _check_records(state: State, dataset_dir: str, output_dir: str) -> None:
    """Raises ValueError if the records are not those that the run began with."""
    found = identify([RecordReader(dataset_dir, split) for split in (TRAIN, VAL)])
    kept = state.get("data")  # None at first, and in a run of an earlier version.
    changes = kept and describe_changes(parse_identity(kept), found)
    if changes:
        raise ValueError(
            f"{output_dir}: the data in {dataset_dir} have changed since this run began "
            f"({changes}): give another --output_dir (adl_tf.train --init_from starts from the "
            "weights of this run), or bring back the data as they were."
        )
    state.set(data=found.to_dict())


def _convert(
    state: State, input_dir: str, output_dir: str, options: Dict[str, Any], hours: float
) -> str:
    """The directory of the records."""
    if _holds_records(input_dir):
        if options:
            raise ValueError(
                f"{input_dir} holds records already: leave out {' '.join(as_arguments(options))}, "
                "or give the folder that they were converted from."
            )
        return input_dir
    if CONVERSION in state.stages and state.get("conversion", {}) != options:
        before = " ".join(as_arguments(state.get("conversion", {}))) or "no flags of the converter"
        raise ValueError(
            f"{output_dir}: converted with {before}; give the same, or another --output_dir."
        )
    records = os.path.join(output_dir, RECORDS)
    name = recognize(input_dir)
    converter = f"data_prep.convert_{name}"
    given = dict(options)
    if CONVERSION not in state.stages:
        # Here, so that what is missing is one line of this program.
        planned = importlib.import_module(converter).plan(input_dir, **plan_options(name, options))
        if name == FOLDER and "mask_values" not in options and are_binary(planned):
            say("The masks hold nothing but 0 and 255: they are read with --mask_values=0,255.")
            given["mask_values"] = list(BINARY)
        if "short_side" not in options:
            given.update(_shrink(planned, hours))
        state.set(conversion=options, shrunk=bool(given.get("short_side")))
        splits = planned.splits
        empty = [split for split in (TRAIN, VAL) if not splits.get(split)]
        if empty:
            raise ValueError(
                f"{input_dir}: no images for {' and '.join(empty)} "
                f"({', '.join(f'{len(items)} for {split}' for split, items in splits.items())}); "
                "a plan needs some to train on and some to score: two images or more, and a "
                "--val_fraction that leaves some of them."
            )
    free, wanted = shutil.disk_usage(output_dir).free, state.get("listing")[1]
    if CONVERSION not in state.stages and free < 1.1 * wanted:
        raise ValueError(
            f"{output_dir}: {free / 1e9:.1f} GB free, and the records of {input_dir} take about "
            f"{wanted / 1e9:.1f} GB; make room or choose another --output_dir."
        )
    arguments = [f"--input_dir={input_dir}", f"--output_dir={records}", *as_arguments(given)]
    run_stages(state, [Stage(CONVERSION, converter, arguments)])
    return records


def _shrink(planned: Conversion, hours: float) -> Dict[str, int]:
    """The flag that makes images smaller, if they are larger than such hours can make use of."""
    items = [item for items in planned.splits.values() for item in items]
    paths = [item.image for item in items if isinstance(item.image, str)]
    sides = []
    for path in paths[:: max(1, len(paths) // _SIZES_READ)]:
        with contextlib.suppress(BadExample):  # The converter will say so.
            sides.append(min(read_size(path)))
    limit, median = usable_short_side(hours), int(np.median(sides or [0]))
    if median <= _MUCH_LARGER * limit:
        return {}
    say(
        f"Short sides of {median} pixels are more than {hours:g} hours can make use of: the images "
        f"are stored with --short_side={limit}; --short_side=0 keeps their size."
    )
    return {"short_side": limit}


def _take_fingerprint(dataset_dir: str, output_dir: str) -> Fingerprint:
    fingerprint = take_fingerprint(dataset_dir)
    for line in fingerprint.table():
        say(line)
    write_json(fingerprint.to_dict(), os.path.join(output_dir, FINGERPRINT_FILE))
    for name, figure in (
        ("classes", draw_shares(fingerprint)),
        ("examples", draw_examples(dataset_dir)),
    ):
        save_figure(figure, os.path.join(output_dir, f"{name}.png"))
    return fingerprint
