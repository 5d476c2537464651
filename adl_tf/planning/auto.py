"""A whole run: from a folder of images and masks to a served network and a report."""

import hashlib
import importlib
import os
import shutil
from typing import Any, Dict, List, Mapping, Optional

import tensorflow as tf

from adl_tf.data.description import DESCRIPTION_FILE
from adl_tf.data.identity import describe_changes, identify, parse_identity
from adl_tf.data.reader import RecordReader
from adl_tf.files import exclusive, make_directory, write_json, write_text
from adl_tf.model_directory import GENOTYPE_FILE
from adl_tf.models.presets import preset_dir, preset_names
from adl_tf.models.registry import read_network_description
from adl_tf.planning.fingerprint import TRAIN, VAL, Fingerprint, take_fingerprint
from adl_tf.planning.pictures import draw_examples, draw_shares
from adl_tf.planning.plan import (
    EVALUATION,
    EXPORT,
    FEW_IMAGES,
    SEARCH,
    TRAINING,
    choose_settings,
    config_files,
    make_plan,
    search_config,
    train_config,
)
from adl_tf.planning.report import write_card, write_report
from adl_tf.planning.stages import Stage, State, run_stages
from adl_tf.planning.trials import measure
from adl_tf.progress import say
from adl_tf.serving.latency import measure_latency
from adl_tf.settings import Positive, configurable
from adl_tf.space.costs import network_cost
from adl_tf.space.genotype import save_genotype
from adl_tf.visualization.figure import save_figure
from data_prep.recognize import FOLDER, as_arguments, plan_options, recognize
from data_prep.shards import checksum
from data_prep.survey import BINARY, are_binary

CONVERSION = "convert"
RECORDS, PLAN, TRIALS = "records", "plan", "trials"
FINGERPRINT_FILE, PLAN_FILE = "fingerprint.json", "plan.json"
# What small sets are trained from.
PRESET = "camvid"
# Later trainings go on from earlier ones, whose rate would undo what these have learned.
_LATER_RATE = 0.0003


@configurable
def run_auto(
    input_dir: str,
    output_dir: str,
    hours: Positive = 2.0,
    multi_adds: Optional[Positive] = None,
    plan_only: bool = False,
    conversion: Optional[Mapping[str, Any]] = None,
) -> Dict[str, Any]:
    """Converts, plans, searches, trains, evaluates, exports and reports.

    The same call resumes where the last one stopped. With more hours than before, on a run that is
    done, a further training starts from the weights of the last one and takes the hours that were
    added.

    Args:
      input_dir: a folder in a layout that a converter of `data_prep` reads, or of records.
      output_dir: of everything that is written.
      hours: for the whole run, conversion and report left out.
      multi_adds: billions that the network may cost at the median image size; None for a small one.
      plan_only: stop once the plan is written.
      conversion: flags of the converter and their values, such as {"mask_values": [0, 255]}; masks
        of two classes that hold nothing but 0 and 255 are recognized without.

    Returns:
      plan (folder of its files), and unless it stops there: miou (of the evaluation), export,
      report, network (model directory), seconds (of all stages).

    Raises:
      ValueError, FileNotFoundError: input that cannot be used, hours too few for any plan, or a
        trial that failed.
      StageFailure: a program failed, and has said why.
    """
    input_dir, output_dir = map(os.path.abspath, (input_dir, output_dir))
    if not os.path.isdir(input_dir):
        raise FileNotFoundError(f"{input_dir}: no such folder.")
    make_directory(output_dir)
    with exclusive(output_dir):
        state = State(output_dir)
        _check_input(state, input_dir, output_dir)
        dataset_dir = _convert(state, input_dir, output_dir, dict(conversion or {}))
        _check_records(state, dataset_dir, output_dir)
        fingerprint = _take_fingerprint(dataset_dir, output_dir)
        plan_dir = os.path.join(output_dir, PLAN)
        if state.get("plan") is None:
            _plan(state, fingerprint, dataset_dir, output_dir, hours, multi_adds)
        elif multi_adds != state.get("multi_adds"):
            raise ValueError(
                f"{output_dir}: planned with --multi_adds={state.get('multi_adds')}; give another "
                "--output_dir for another network."
            )
        elif hours != state.get("hours") and TRAINING not in state.stages:
            raise ValueError(
                f"{output_dir}: planned with --hours={state.get('hours'):g}, which are not over; "
                "give that, and more hours afterwards, or another --output_dir."
            )
        if plan_only:
            say(f"Edit {plan_dir}/*.gin if you like; without --plan_only it is carried out.")
            return {"plan": plan_dir}
        stages = _stages(state, output_dir, hours)
        say(f"Watch it: tensorboard --logdir {output_dir}")
        run_stages(state, stages)
        evaluation, export = (state.stages[stage.name]["result"] for stage in stages[-2:])
        network = os.path.dirname(os.path.dirname(evaluation["evaluation"]))
        if state.get("latency", {}).get("of") != stages[-1].name:
            size = state.get("plan")["settings"]["image_size"]
            latency = measure_latency(network, export["export_dir"], size)
            state.set(latency={"of": stages[-1].name, **latency})
        card = write_card(state, fingerprint, evaluation, export)
        report = write_report(state, fingerprint, dataset_dir, output_dir)
    say(f"Report: {report}")
    return {
        "plan": plan_dir,
        "miou": evaluation["miou"],
        "export": export["export_dir"],
        "card": card,
        "report": report,
        "network": network,
        "seconds": round(sum(stage["seconds"] for stage in state.stages.values()), 1),
    }


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


def _convert(state: State, input_dir: str, output_dir: str, options: Dict[str, Any]) -> str:
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
        state.set(conversion=options)
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


def _plan(
    state: State,
    fingerprint: Fingerprint,
    dataset_dir: str,
    output_dir: str,
    hours: float,
    multi_adds: Optional[float],
) -> None:
    """Chooses settings, tries them, and writes the plan."""
    plan_dir = os.path.join(output_dir, PLAN)
    make_directory(plan_dir)
    configs = config_files(plan_dir)
    preset = PRESET if PRESET in preset_names() else None
    gpu = bool(tf.config.list_physical_devices("GPU"))
    settings = choose_settings(fingerprint, multi_adds, gpu, preset)
    genotype, arguments = None, []
    if not settings.searched:
        description = read_network_description(preset_dir(preset))
        settings = settings.like(description.filter_multiplier, description.sizes)
        cost = network_cost(
            description.genotype,
            description.filter_multiplier,
            len(fingerprint.class_names),
            fingerprint.median_size,
            description.sizes,
        )
        billions = cost.total.multi_adds / 1e9
        if multi_adds and billions > multi_adds:
            raise ValueError(
                f"--multi_adds={multi_adds:g}: fewer than {FEW_IMAGES} images get the network "
                f"{preset!r}, which costs {billions:.2g} billion at their median size; leave it "
                "out, or add images."
            )
        genotype = os.path.join(plan_dir, GENOTYPE_FILE)
        save_genotype(description.genotype, genotype)
        arguments = [f"--init_from={preset}"]
    write_text(train_config(settings, dataset_dir, 1, 1, None), configs[TRAINING])
    if settings.searched:
        write_text(search_config(settings, dataset_dir, 1, 1), configs[SEARCH])
    say("Trying a few dozen steps on this machine, to see what they take; two minutes or so.")
    timings = measure(
        os.path.join(output_dir, TRIALS), configs, fingerprint.examples[VAL], genotype, arguments
    )
    plan = make_plan(settings, fingerprint, timings, hours)
    write_text(
        train_config(
            settings, dataset_dir, plan.train_steps, plan.validate_every, plan.validation_images
        ),
        configs[TRAINING],
    )
    if settings.searched:
        text = search_config(settings, dataset_dir, plan.search_steps, plan.candidates)
        write_text(text, configs[SEARCH])
    write_json(plan.to_dict(), os.path.join(plan_dir, PLAN_FILE))
    say(f"The plan, in {plan_dir}:")
    for line in plan.table():
        say(line)
    state.set(
        plan=plan.to_dict(),
        hours=hours,
        multi_adds=multi_adds,
        train_step=timings.train_step,
        genotype=genotype,
        train_arguments=arguments,
    )


def _stages(state: State, output_dir: str, hours: float) -> List[Stage]:
    """What is to be done, with what is done already."""
    configs = config_files(os.path.join(output_dir, PLAN))
    seconds = state.get("plan")["seconds"]
    stages, genotype = [], state.get("genotype")
    if genotype is None:
        search_dir = os.path.join(output_dir, SEARCH)
        genotype = os.path.join(search_dir, GENOTYPE_FILE)
        arguments = [f"--gin_file={configs[SEARCH]}", f"--model_dir={search_dir}"]
        stages.append(Stage(SEARCH, f"adl_tf.{SEARCH}", arguments, seconds[SEARCH]))
    extensions = state.get("extensions", [])
    if hours > state.get("hours") and TRAINING in state.stages:
        added = (hours - state.get("hours")) * 3600 - seconds[EVALUATION] - seconds[EXPORT]
        steps = int(added / state.get("train_step"))
        if steps < 1:
            raise ValueError(f"--hours={hours:g}: too little more for a further training.")
        extensions = [*extensions, steps]
        state.set(extensions=extensions, hours=hours)
    common = [f"--gin_file={configs[TRAINING]}", f"--genotype={genotype}"]
    trained = os.path.join(output_dir, TRAINING)
    arguments = [*common, *state.get("train_arguments"), f"--model_dir={trained}"]
    stages.append(Stage(TRAINING, "adl_tf.train", arguments, seconds[TRAINING]))
    suffix = ""
    for index, steps in enumerate(extensions, 2):
        before, suffix = trained, f"_{index}"
        trained = os.path.join(output_dir, TRAINING + suffix)
        arguments = [
            *common,
            f"--init_from={before}",
            f"--gin_param=STEPS = {steps}",
            f"--gin_param=adam_optimizer.initial_rate = {_LATER_RATE}",
            f"--gin_param=RunData.seed = {index}",
            f"--model_dir={trained}",
        ]
        planned = steps * state.get("train_step")
        stages.append(Stage(TRAINING + suffix, "adl_tf.train", arguments, planned))
    export = [f"--model_dir={trained}", f"--output_dir={os.path.join(output_dir, EXPORT)}"]
    return [
        *stages,
        Stage(EVALUATION + suffix, "adl_tf.evaluate", export[:1], seconds[EVALUATION]),
        Stage(EXPORT + suffix, "adl_tf.export", export, seconds[EXPORT]),
    ]
