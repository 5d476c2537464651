"""The stages of a run as commands, and how the time that is left is shared out among them."""

import dataclasses
import os
from typing import Any, Dict, List, Sequence

from adl_tf.model_directory import GENOTYPE_FILE
from adl_tf.planning.config_files import config_files, train_config
from adl_tf.planning.plan import (
    BASELINE,
    EVALUATION,
    EXPORT,
    LEAST_STEPS,
    OTHER,
    REPORT,
    SEARCH,
    TRAINING,
    VALIDATIONS,
)
from adl_tf.planning.plan_stage import PLAN, PLAN_FILE
from adl_tf.planning.settings import PRESET, Settings
from adl_tf.planning.stages import Stage, State
from adl_tf.planning.trials import BASELINE_NETWORK
from adl_tf.system.files import remove_temporaries, write_json, write_text

# Later trainings go on from earlier ones, whose rate would undo what these have learned.
_LATER_RATE = 0.0003
# Of the hours: what is worth another training.
_WORTH = 0.1


def make_stages(state: State, output_dir: str, dataset_dir: str, hours: float) -> List[Stage]:
    """All stages of a run, those that are done included.

    Args:
      state: state of the run, which has a plan.
      output_dir: directory of the run.
      dataset_dir: directory of the records.
      hours: for the whole run.
    """
    plan = state.get("plan")
    configs, seconds = config_files(os.path.join(output_dir, PLAN)), plan["seconds"]
    stages, genotype = [], state.get("genotype")
    if genotype is None:
        search_dir = os.path.join(output_dir, SEARCH)
        genotype = os.path.join(search_dir, GENOTYPE_FILE)
        arguments = [f"--gin_file={configs[SEARCH]}", f"--model_dir={search_dir}"]
        stages.append(Stage(SEARCH, f"adl_tf.{SEARCH}", arguments, seconds[SEARCH]))
    config = f"--gin_file={configs[TRAINING]}"
    common = [config, f"--genotype={genotype}"]
    trained = os.path.join(output_dir, TRAINING)
    arguments = [*common, *state.get("train_arguments"), f"--model_dir={trained}"]

    def fit(stage):
        fit_training(state, output_dir, dataset_dir, hours)
        return stage._replace(seconds=state.get("plan")["seconds"][TRAINING])

    stages.append(Stage(TRAINING, "adl_tf.train", arguments, seconds[TRAINING], fit))
    suffix = ""
    for index, steps in enumerate(state.get("extensions", []), 2):
        before, suffix = trained, f"_{index}"
        trained = os.path.join(output_dir, TRAINING + suffix)
        arguments = [
            *common,
            f"--init_from={before}",
            *_steps(steps),
            f"--gin_param=adam_optimizer.initial_rate = {_LATER_RATE}",
            f"--gin_param=RunData.seed = {index}",
            f"--model_dir={trained}",
        ]
        planned = _fixed(state) + steps * state.get("train_step")
        stages.append(Stage(TRAINING + suffix, "adl_tf.train", arguments, planned))
    export = [f"--model_dir={trained}", f"--output_dir={os.path.join(output_dir, EXPORT)}"]
    evaluation = export[:1]
    if plan["evaluation_images"]:
        evaluation.append(f"--max_images={plan['evaluation_images']}")
    stages.append(Stage(EVALUATION + suffix, "adl_tf.evaluate", evaluation, seconds[EVALUATION]))
    stages.append(Stage(EXPORT + suffix, "adl_tf.export", export, seconds[EXPORT]))
    for name, steps in plan["compared_steps"].items():
        network = _compared_network(name, state, genotype)
        model_dir = f"--model_dir={os.path.join(output_dir, name)}"
        arguments = [config, *network, *_steps(steps), model_dir]
        stages.append(Stage(name, "adl_tf.train", arguments, seconds[name]))
    return stages


def _steps(steps: int) -> List[str]:
    every = -(-steps // VALIDATIONS)
    return [
        f"--gin_param=STEPS = {steps}",
        f"--gin_param=run_training.validate_every = {every}",
    ]


def _compared_network(name: str, state: State, genotype: str) -> List[str]:
    """Flags of a training to compare with."""
    if name == BASELINE:
        return [f"--gin_param={BASELINE_NETWORK}"]
    if state.get("plan")["start"] == PRESET:
        return [f"--genotype={genotype}"]  # From scratch.
    return [f"--init_from={state.get('preset')}"]


def seconds_left(state: State, hours: float, after: Sequence[str]) -> float:
    """Seconds of the hours that are neither over nor planned for some stages that follow."""
    planned = state.get("plan")["seconds"]
    return 3600 * hours - sum(state.spent.values()) - sum(planned.get(name, 0) for name in after)


def fit_training(state: State, output_dir: str, dataset_dir: str, hours: float) -> None:
    """Gives the training the steps that the time allows now that the search is over.

    A file that was edited is left as it is.
    """
    plan, step = state.get("plan"), state.get("train_step")
    path = config_files(os.path.join(output_dir, PLAN))[TRAINING]
    after = (EVALUATION, EXPORT, REPORT, OTHER, BASELINE)
    fixed = _fixed(state)
    steps = max(LEAST_STEPS, int((seconds_left(state, hours, after) - fixed) / step))
    fitted = {
        **plan,
        "train_steps": steps,
        "validate_every": -(-steps // VALIDATIONS),
        "seconds": {**plan["seconds"], TRAINING: fixed + steps * step},
    }
    text = _training_text(fitted, dataset_dir)
    remove_temporaries(os.path.dirname(path))  # Of a run that was killed here.
    with open(path) as file:
        # The second one is such a run's.
        if file.read() not in (_training_text(plan, dataset_dir), text):
            return
    write_text(text, path)
    write_json(fitted, os.path.join(output_dir, PLAN, PLAN_FILE))
    state.set(plan=fitted)


def _fixed(state: State) -> float:
    """Seconds of a training that are not those of its steps: its start, and its validations."""
    return state.get("train_fixed", 0.0)  # Runs of earlier versions have not noted it.


def _training_text(plan: Dict[str, Any], dataset_dir: str) -> str:
    fields = {field.name for field in dataclasses.fields(Settings)}
    settings = Settings(**{name: plan["settings"][name] for name in fields})
    names = ("train_steps", "validate_every", "validation_images")
    return train_config(settings, dataset_dir, *(plan[name] for name in names))


def extend(state: State, hours: float, asked: bool) -> None:
    """Adds a training for the time that is left, if it is worth it.

    Args:
      state: state of a run whose trainings are done.
      hours: for the whole run.
      asked: whether the user has given more hours.

    Raises:
      ValueError: hours were added, but too few for a training.
    """
    if not asked and state.get("filled") == hours:
        return  # An interrupted run does not get another one.
    compared = [name for name in (OTHER, BASELINE) if name not in state.stages]
    left = seconds_left(state, hours, (EVALUATION, EXPORT, REPORT, *compared))
    left -= _fixed(state)
    # What a step takes is known by now.
    last = [state.stages[name] for name in state.stages if name.startswith(TRAINING)][-1]
    seconds = max(last["seconds"] - _fixed(state), last["seconds"] / 2)
    step = seconds / max(1, last["result"]["steps"])
    steps = int(left / max(step, 1e-3))
    state.set(filled=hours)
    if asked and steps < LEAST_STEPS:
        raise ValueError(f"--hours={hours:g}: too little more for a further training.")
    if asked or (left > _WORTH * 3600 * hours and steps >= LEAST_STEPS):
        extensions = [*state.get("extensions", []), steps]
        state.set(extensions=extensions, hours=hours, train_step=step)
