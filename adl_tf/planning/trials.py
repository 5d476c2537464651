"""What steps take on this machine: a few dozen, by the programs that will run."""

import os
import shutil
import time
from typing import Dict, List, Optional, Sequence

import numpy as np

from adl_tf.model_directory import GENOTYPE_FILE, METRICS_FILE, RANKING_FILE, read_json_lines
from adl_tf.planning.plan import EVALUATION, EXPORT, SEARCH, TRAINING, Timings
from adl_tf.planning.stages import Stage, peak_memory, run_program

_STEPS, _CANDIDATES, _IMAGES = 12, 3, 4
# The first dozen of a training, while its readers fill their buffers, are slower than the others.
_TRAINING_STEPS = 30


def measure(
    directory: str,
    configs: Dict[str, str],
    val_images: int,
    genotype: Optional[str] = None,
    arguments: Sequence[str] = (),
) -> Timings:
    """Runs the search, if there is one, and the training for a few steps, and what follows.

    Args:
      directory: for what they write; removed afterwards.
      configs: gin files, by stage.
      val_images: how many there are to score.
      genotype: what is trained where nothing is searched.
      arguments: further flags of the training.

    Raises:
      ValueError: a program failed.
    """
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    start = candidate = step = 0.0
    scored = min(_IMAGES, val_images)
    if genotype is None:
        search_dir = os.path.join(directory, SEARCH)
        seconds = _run(
            SEARCH,
            search_dir,
            f"--gin_file={configs[SEARCH]}",
            f"--gin_param=STEPS = {_STEPS}",
            f"--gin_param=CANDIDATES = {_CANDIDATES}",
            "--gin_param=run_random_search.share = 1.0",  # All go on to their last step.
        )
        lines = read_json_lines(os.path.join(search_dir, RANKING_FILE), key="key").values()
        step = float(np.mean([line["seconds_per_step"] for line in lines]))
        candidate = float(np.mean([line["seconds"] for line in lines])) - _STEPS * step
        start = seconds - sum(line["seconds"] for line in lines)
        genotype = os.path.join(search_dir, GENOTYPE_FILE)
    train_dir = os.path.join(directory, TRAINING)
    seconds = _run(
        TRAINING,
        train_dir,
        f"--gin_file={configs[TRAINING]}",
        f"--genotype={genotype}",
        # Two validations: the first one builds its graph.
        f"--gin_param=STEPS = {_TRAINING_STEPS + 1}",
        f"--gin_param=run_training.validate_every = {_TRAINING_STEPS}",
        f"--gin_param=RunData.validation_images = {scored}",
        *arguments,
    )
    first, last = _epochs(train_dir)
    train_step, validation = first["seconds_per_step"], last["validation_seconds"] / scored
    evaluation = _run(EVALUATION, train_dir, f"--max_images={scored}")
    export = _run(EXPORT, train_dir, f"--output_dir={os.path.join(directory, EXPORT)}")
    shutil.rmtree(directory)
    spent = (_TRAINING_STEPS + 1) * train_step + 2 * last["validation_seconds"]
    return Timings(
        search_start=start,
        candidate_start=candidate,
        search_step=step,
        train_start=max(0.0, seconds - spent),
        train_step=train_step,
        validation=validation,
        evaluation_start=max(0.0, evaluation - scored * validation),
        export=export,
        memory=peak_memory(),
    )


def _run(program: str, model_dir: str, *arguments: str) -> float:
    """Seconds that a program took."""
    stage = Stage(
        f"trial of {program}", f"adl_tf.{program}", [*arguments, f"--model_dir={model_dir}"]
    )
    started = time.monotonic()
    run_program(stage, stage.name, log=f"{model_dir}.log")
    return time.monotonic() - started


def _epochs(model_dir: str) -> List[Dict[str, float]]:
    lines = read_json_lines(os.path.join(model_dir, METRICS_FILE), key="epoch", of=int)
    return [lines[epoch] for epoch in sorted(lines)]
