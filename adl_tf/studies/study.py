"""A study: many trainings under one protocol, and the searches whose results they train."""

import collections
import contextlib
import functools
import glob
import json
import os
import shlex
import sys
import threading
import time
from typing import Any, Callable, Dict, List, Literal, Optional, Sequence, Tuple

import gin

from adl_tf.data.identity import identify_again
from adl_tf.model_directory import (
    GENOTYPE_FILE,
    LOG_FILE,
    MEMBERS_FILE,
    METRICS_FILE,
    RANKING_FILE,
    REPORT_FILE,
    RUN_FILE,
    STUDY_FILE,
    append_json_line,
    read_json_lines,
    reserve_model_dir,
)
from adl_tf.models.profiling import profile_network
from adl_tf.models.registry import DECODED, build_network, read_network_description
from adl_tf.models.trained_on import kept_data, read_run
from adl_tf.runs.run import check_same_data
from adl_tf.space.costs import network_cost
from adl_tf.space.genotype import load_genotype
from adl_tf.studies.members import Member
from adl_tf.studies.page import study_page
from adl_tf.studies.processes import MemberFailure, Processes, Runner, run_side_by_side
from adl_tf.studies.ray_tasks import RayTasks
from adl_tf.studies.table import pooled_deviation, read_trainings
from adl_tf.system.files import exclusive, make_directory, read_json, write_json, write_text
from adl_tf.system.progress import say
from adl_tf.system.settings import Count, Name, Number, Sides, configurable


@configurable
def run_study(
    study_dir: str,
    training: Sequence[Name] = gin.REQUIRED,
    members: Sequence[Callable[[], List[Member]]] = gin.REQUIRED,
    image_size: Sides = gin.REQUIRED,
    seeds: Sequence[Number] = (0,),
    workers: Count = 1,
    executor: Literal["processes", "ray"] = "processes",
) -> Dict[str, Any]:
    """Runs the members that are not done yet, each in a process of its own.

    A member that fails is reported and passed over; the same command tries it again. After an
    interruption the same command resumes where it stopped.

    Args:
      study_dir: directory of everything that is written: `members.jsonl`, with a line for each
        training that is done, and a folder for each run, whose messages are in its `log.txt`.
      training: gin files, and bindings such as "STEPS = 500", of every training.
      members: functions that list the members, see `studies.members`.
      image_size: (H, W) in pixels at which costs are counted.
      seeds: each member is trained with each of them.
      workers: members that run at the same time, each on its share of the cores. Small networks
        use few cores well: two trainings on a core each take less time than one after the other
        on both. With Ray its resources decide.
      executor: "processes" of this machine, or "ray", see `RayTasks`.

    Returns:
      trainings (number), failed (what failed, a text each), members (the file), report (an HTML
      page of the study).

    Raises:
      ValueError: two members of one name, a study of other settings or other data in the directory,
        or Ray is not installed or does not answer.
    """
    listed = [member for list_members in members for member in list_members()]
    names = [member.name for member in listed]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"run_study: more than one member is called {repeated[0]!r}.")
    connected = (
        RayTasks().connected() if executor == "ray" else contextlib.nullcontext(Processes(workers))
    )
    path = os.path.join(study_dir, MEMBERS_FILE)
    make_directory(study_dir)
    with exclusive(study_dir):
        # A member that failed at once leaves a log.
        begun = os.path.exists(path) or any(
            glob.glob(os.path.join(glob.escape(study_dir), "*", "*", name))
            for name in ("checkpoint", RANKING_FILE)
        )
        reserve_model_dir(study_dir, STUDY_FILE, {"training": list(training)}, begun)
        _check_data(study_dir)
        trainings = [(member, seed) for seed in seeds for member in listed]
        done = read_trainings(path)
        left = [(m, seed) for m, seed in trainings if training_name(m, seed) not in done]
        with connected as runner:
            tasks = [
                functools.partial(run_member, study_dir, member, seed, training, image_size, runner)
                for member, seed in left
            ]
            failed = _run_tasks(tasks, runner, path, len(trainings))
        _check_data(study_dir)
        report = _write_report(study_dir, list(read_trainings(path).values()))
    return {"trainings": len(trainings), "failed": failed, "members": path, "report": report}


def _check_data(study_dir: str) -> None:
    """Compares the data of all trainings with each other, and with what is there now.

    Raises:
      ValueError: the data of one of them have changed, or two were on different data.
    """
    found = None
    for path in sorted(glob.glob(os.path.join(glob.escape(study_dir), "*", "*", RUN_FILE))):
        model_dir = os.path.dirname(path)
        kept, dataset_dir = kept_data(model_dir), read_run(model_dir).get("dataset_dir", "")
        if kept and not found:  # Data that are gone are what they were.
            found = identify_again(dataset_dir, kept) if os.path.isdir(dataset_dir) else kept
        if found:
            check_same_data(model_dir, found, "give another --study_dir")


def _run_tasks(
    tasks: Sequence[Callable[[], Dict[str, Any]]], runner: Runner, path: str, total: int
) -> List[str]:
    """Appends the line of each task to a file; returns what failed."""
    started, failed = time.time(), []
    for index, result in enumerate(run_side_by_side(tasks, runner), 1):
        try:
            line = result()
        except MemberFailure as error:
            failed.append(str(error))
            say(f"failed, passed over: {error}")
            continue
        append_json_line(path, line)
        done = total - len(tasks) + index
        minutes = (time.time() - started) / index * (len(tasks) - index) / 60
        say(
            f"{line['training']}: mIoU {line['val_miou']:.3f}; {done} of {total}, about "
            f"{minutes:.0f} minutes left"
        )
    return failed


def _write_report(study_dir: str, lines: Sequence[Dict[str, Any]]) -> str:
    """Writes the page of a study; returns its path."""
    report = os.path.join(study_dir, REPORT_FILE)
    if lines:
        scores = collections.defaultdict(list)
        for line in lines:
            scores[line["member"]].append(line["val_miou"])
        command = shlex.join(["python", "-m", "adl_tf.study", *sys.argv[1:]])
        spread = pooled_deviation(scores.values())
        write_text(study_page(os.path.basename(study_dir), lines, command, spread), report)
    return report


# Trainings of one member with different seeds wait for one search.
_searching: Dict[str, threading.Lock] = collections.defaultdict(threading.Lock)


def training_name(member: Member, seed: int) -> str:
    """The name of a training, and its directory inside that of the study."""
    return f"{member.name}/seed_{seed}"


def run_member(
    study_dir: str,
    member: Member,
    seed: int,
    training: Sequence[str],
    image_size: Tuple[int, int],
    runner: Runner,
) -> Dict[str, Any]:
    """Runs or resumes one training of a study, and first the search that it needs.

    Returns:
      the line of `members.jsonl`: training (its name), member, seed, genotype, cost (see
      `NetworkCost.summary`), val_miou (of the last step), metrics (of every validation), search
      (what it printed), seconds, command.

    Raises:
      MemberFailure: the search or the training failed.
    """
    model_dir = os.path.join(study_dir, training_name(member, seed))
    arguments = _settings(training, seed)
    arguments += [
        f"--gin_param=RunNetwork.network = {member.network!r}",
        f"--gin_param=RunNetwork.width = {member.width}",
    ]
    if member.filter_multiplier is not None:
        arguments.append(f"--gin_param=RunNetwork.filter_multiplier = {member.filter_multiplier}")
    with _searching[member.name]:
        found, search = _find_genotype(os.path.join(study_dir, member.name), member, runner)
    if found:
        make_directory(model_dir)
        file = os.path.join(model_dir, GENOTYPE_FILE)
        write_json(found, file)
        arguments.append(f"--genotype={file}")
    if "sizes" in found:
        arguments.append("--gin_param=RunNetwork.filter_multiplier = None")
    result = _run("train", arguments, model_dir, runner)
    if result["val_miou"] is None:
        raise ValueError(f"{model_dir}: nothing was scored; a study needs data with a split val.")
    metrics = read_json_lines(os.path.join(model_dir, METRICS_FILE), key="epoch", of=int)
    line = {
        "training": training_name(member, seed),
        "member": member.name,
        "seed": seed,
        "network": member.network,
        "cost": _cost(model_dir, image_size),
        "val_miou": result["val_miou"],
        "metrics": [metrics[epoch] for epoch in sorted(metrics)],
        "seconds": result["seconds"],
        "command": result["command"],
    }
    if found:
        line["genotype"] = load_genotype(found).to_dict()
    if search is not None:
        line["search"] = search
    return line


def _find_genotype(
    directory: str, member: Member, runner: Runner
) -> Tuple[Dict[str, Any], Optional[Dict[str, Any]]]:
    """The fields of a member's genotype, none for a baseline, and what the search that found it
    printed."""
    if not member.search:
        return member.genotype.to_dict() if member.genotype else {}, None
    search_dir = os.path.join(directory, "search")
    settings = _settings(member.search, member.search_seed)
    search = _run("search", settings, search_dir, runner)
    return read_json(os.path.join(search_dir, GENOTYPE_FILE)), search


def _settings(settings: Sequence[str], seed: int) -> List[str]:
    """Flags of gin files and bindings, and of the seed."""
    flags = [
        f"--gin_param={setting}" if "=" in setting else f"--gin_file={setting}"
        for setting in settings
    ]
    return [*flags, f"--gin_param=RunData.seed = {seed}"]


def _run(program: str, arguments: Sequence[str], model_dir: str, runner: Runner) -> Dict[str, Any]:
    """Runs a program to its end; what it printed, and its command."""
    command = ["-m", f"adl_tf.{program}", *arguments, f"--model_dir={model_dir}"]
    make_directory(model_dir)
    log = os.path.join(model_dir, LOG_FILE)
    status, output = runner.run(command, log)
    if status:
        raise MemberFailure(f"{program} in {model_dir} ended with status {status}, see {log}.")
    return {**json.loads(output.splitlines()[-1]), "command": ["python", *command]}


def _cost(model_dir: str, image_size: Tuple[int, int]) -> Dict[str, Any]:
    """Parameters and Multi-Adds of the network in a model directory."""
    description = read_network_description(model_dir)
    if description.network == DECODED:
        return network_cost(
            description.genotype,
            description.filter_multiplier,
            description.num_classes,
            tuple(image_size),
            description.sizes,
        ).summary()
    profile = profile_network(build_network(description), tuple(image_size))
    return {"parameters": profile.parameters, "multi_adds": profile.multi_adds}
