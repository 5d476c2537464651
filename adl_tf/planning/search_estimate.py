"""Duration of a whole search on this machine, estimated from a few of its own steps."""

import inspect
import os
import tempfile
from typing import Any, Dict, Sequence

import gin

from adl_tf.planning.stages import Stage, peak_memory, run_program
from adl_tf.planning.trials import read_search, search_flags
from adl_tf.runs.data import RunData
from adl_tf.searches.gradient_search import run_gradient_search
from adl_tf.searches.halving import rounds
from adl_tf.system.progress import say

# Steps of a trial epoch, and images that it scores.
_STEPS, _IMAGES = 10, 4
# Liu et al., table 1, https://arxiv.org/abs/1901.02985.
_PAPER = "the paper's search took 3 days on one P100 GPU"


def estimate_search(arguments: Sequence[str]) -> Dict[str, Any]:
    """Runs the configured search for a few steps, and counts those of the whole one.

    Args:
      arguments: flags of `adl_tf.search` that make the configuration, which gin has read here too.

    Returns:
      weight_steps and arch_steps: steps of the whole search.
      trainings: how many of its proposals and of random networks are trained to the end of a rung.
      weight_step, alternating_step: seconds of one step; the second is both kinds together.
      weight_epoch, alternating_epoch: seconds of one epoch, with its validation.
      hours: duration of the whole search on this machine.
      memory: GiB at its peak.

    Raises:
      ValueError: another kind of search, a bad configuration, or the search failed.
    """
    _check_method()
    settings = _settings()
    data = RunData()
    trials = settings["trials"] and settings["trials"]()
    steps = settings["steps_per_epoch"] or data.steps_per_pass("A")
    epochs, start = settings["epochs"], settings["arch_start_epoch"]
    weight_epochs = min(epochs, epochs // 2 if start is None else start)
    images = data.num_validation_images
    say(f"Trying {3 * _STEPS} steps of the search on this machine, which takes a minute or so.")
    found = _trial(arguments, min(_IMAGES, images))
    validation = images * found["validation"]
    weight_epoch = steps * found["weight_step"] + validation
    alternating_epoch = steps * found["alternating_step"] + validation
    total = weight_epochs * weight_epoch + (epochs - weight_epochs) * alternating_epoch
    trainings = 0
    if trials:
        trainings = sum(rounds(2 * settings["proposals"], trials.rungs, trials.share))
        total += 2 * settings["proposals"] * found["candidate_start"]
        total += trainings * trials.rung_steps * found["candidate_step"]
    hours = (total + found["start"]) / 3600
    memory = peak_memory()
    say(
        f"{epochs} epochs of {steps} steps, {epochs - weight_epochs} of them alternating, and "
        f"{trainings} short trainings: {hours:.1f} hours on this machine, {memory:.1f} GiB "
        f"({_PAPER})."
    )
    return {
        "weight_steps": epochs * steps,
        "arch_steps": (epochs - weight_epochs) * steps,
        "trainings": trainings,
        "weight_step": found["weight_step"],
        "alternating_step": found["alternating_step"],
        "weight_epoch": round(weight_epoch, 1),
        "alternating_epoch": round(alternating_epoch, 1),
        "hours": round(hours, 3),
        "memory": round(memory, 2),
    }


def _check_method() -> None:
    try:
        method = str(gin.query_parameter("search.method"))
    except ValueError:  # Not bound: the supernet.
        return
    if method.rpartition(".")[2].strip("@") != run_gradient_search.__name__:
        raise ValueError(
            f"--search estimates searches by gradients, not search.method = {method}; leave "
            "--search out."
        )


def _settings() -> Dict[str, Any]:
    """The arguments of `run_gradient_search` that gin binds, and the defaults of the others."""
    parameters = inspect.signature(run_gradient_search).parameters.values()
    return {**{p.name: p.default for p in parameters}, **gin.get_bindings("run_gradient_search")}


def _trial(arguments: Sequence[str], images: int) -> Dict[str, float]:
    """Seconds of an epoch of weight steps, of two of alternating ones, and of what follows."""
    with tempfile.TemporaryDirectory() as folder:
        model_dir = os.path.join(folder, "search")
        flags = search_flags(_STEPS, images)
        stage = Stage(
            "trial of the search", "adl_tf.search", [*arguments, *flags, f"--model_dir={model_dir}"]
        )
        result = run_program(stage, stage.name, log=os.path.join(folder, "log.txt"))
        return read_search(model_dir, result["seconds"], _STEPS, images)
