"""A study: many trainings under one protocol, and the searches whose results they train."""

import json
import os
import subprocess
import sys
import time
from typing import Any, Callable, Dict, List, Sequence, Tuple

import gin

from adl_tf.configuration import say
from adl_tf.files import make_directory
from adl_tf.model_directory import (
    GENOTYPE_FILE,
    MEMBERS_FILE,
    STUDY_FILE,
    append_json_line,
    claim_model_dir,
    read_json_lines,
)
from adl_tf.models.profiling import profile_network
from adl_tf.models.registry import DECODED, build_network, read_network_description
from adl_tf.runs.study_members import Member
from adl_tf.space.costs import network_cost
from adl_tf.space.genotype import load_genotype, save_genotype


class MemberFailure(Exception):
    """A search or a training of a study ended without a result."""


@gin.configurable
def run_study(
    study_dir: str,
    training: Sequence[str] = gin.REQUIRED,
    members: Sequence[Callable[[], List[Member]]] = gin.REQUIRED,
    image_size: Tuple[int, int] = gin.REQUIRED,
    seeds: Sequence[int] = (0,),
) -> Dict[str, Any]:
    """Runs the members that are not done yet, one after the other, each in a process of its own.

    A member that fails is reported and passed over; the same command tries it again. After an
    interruption the same command resumes where it stopped.

    Args:
      study_dir: directory of everything that is written: `members.jsonl`, with a line for each
        training that is done, and a folder for each run.
      training: gin files, and bindings such as "STEPS = 500", of every training.
      members: functions that list the members, see `study_members`.
      image_size: (H, W) in pixels at which costs are counted.
      seeds: each member is trained with each of them.

    Returns:
      trainings, failed (numbers), members (the file).

    Raises:
      ValueError: two members of one name, or a study of other settings in the directory.
    """
    listed = [member for list_members in members for member in list_members()]
    names = [member.name for member in listed]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"run_study: more than one member is called {repeated[0]!r}.")
    claim_model_dir(study_dir, STUDY_FILE, {"training": list(training)})
    path = os.path.join(study_dir, MEMBERS_FILE)
    trainings = [(member, seed) for seed in seeds for member in listed]
    done = read_json_lines(path, key="training")
    left = [(m, seed) for m, seed in trainings if _training_name(m, seed) not in done]
    failed, started = 0, time.time()
    for index, (member, seed) in enumerate(left):
        mean = (time.time() - started) / index / 60 if index else 0
        say(
            f"{_training_name(member, seed)}: {len(trainings) - len(left) + index + 1} of "
            f"{len(trainings)}"
            + (f", about {mean * (len(left) - index):.0f} minutes left" if index else "")
        )
        try:
            append_json_line(path, run_member(study_dir, member, seed, training, image_size))
        except MemberFailure as error:
            failed += 1
            say(f"failed, passed over: {error}")
    return {"trainings": len(trainings), "failed": failed, "members": path}


def _training_name(member: Member, seed: int) -> str:
    return f"{member.name}/seed_{seed}"


def run_member(
    study_dir: str,
    member: Member,
    seed: int,
    training: Sequence[str],
    image_size: Tuple[int, int],
) -> Dict[str, Any]:
    """Runs or resumes one training of a study, and first the search that it needs.

    Returns:
      the line of `members.jsonl`: training (its name), member, seed, genotype, cost (see
      `NetworkCost.summary`), val_miou (of the last step), search (what it printed), seconds,
      command.

    Raises:
      MemberFailure: the search or the training failed.
    """
    directory = os.path.join(study_dir, member.name)
    genotype, search = member.genotype, None
    if member.search:
        search_dir = os.path.join(directory, "search")
        search = _run("search", _settings(member.search, member.search_seed), search_dir)
        genotype = load_genotype(os.path.join(search_dir, GENOTYPE_FILE))
    arguments = _settings(training, seed)
    arguments += [
        f"--gin_param=RunNetwork.network = {member.network!r}",
        f"--gin_param=RunNetwork.width = {member.width}",
    ]
    if member.filter_multiplier is not None:
        arguments.append(f"--gin_param=RunNetwork.filter_multiplier = {member.filter_multiplier}")
    if genotype is not None:
        make_directory(directory)
        file = os.path.join(directory, GENOTYPE_FILE)
        save_genotype(genotype, file)
        arguments.append(f"--genotype={file}")
    model_dir = os.path.join(study_dir, _training_name(member, seed))
    result = _run("train", arguments, model_dir)
    line = {
        "training": _training_name(member, seed),
        "member": member.name,
        "seed": seed,
        "network": member.network,
        "cost": _cost(model_dir, image_size),
        "val_miou": result["val_miou"],
        "seconds": result["seconds"],
        "command": result["command"],
    }
    if genotype is not None:
        line["genotype"] = genotype.to_dict()
    if search is not None:
        line["search"] = search
    return line


def _settings(settings: Sequence[str], seed: int) -> List[str]:
    """Flags of gin files and bindings, and of the seed."""
    flags = [
        f"--gin_param={setting}" if "=" in setting else f"--gin_file={setting}"
        for setting in settings
    ]
    return [*flags, f"--gin_param=RunData.seed = {seed}"]


def _run(program: str, arguments: Sequence[str], model_dir: str) -> Dict[str, Any]:
    """Runs a program to its end; what it printed, and its command."""
    command = ["-m", f"adl_tf.{program}", *arguments, f"--model_dir={model_dir}"]
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True)
    try:
        output, _ = process.communicate()
    except BaseException:
        process.terminate()  # It saves where it is.
        process.wait()
        raise
    if process.returncode:
        raise MemberFailure(f"{program} in {model_dir} ended with status {process.returncode}.")
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
