"""The shared parts of searches and trainings: open, start or resume, fit over the phases."""

import contextlib
import gc
import glob
import os
from typing import Any, Callable, Dict, Iterator, NamedTuple, Optional, Sequence

import gin
import tensorflow as tf

from adl_tf.data.identity import (
    DataIdentity,
    changed_classes,
    describe_changes,
    parse_identity,
)
from adl_tf.distribution.strategy import distribution_strategy
from adl_tf.distribution.workers import Workers
from adl_tf.model_directory import (
    CANDIDATES_FOLDER,
    CHECKPOINTS,
    COMPACT_WEIGHTS_FILE,
    CONFIG_FILE,
    DATA,
    METRICS_FILE,
    NETWORK_FILE,
    RANKING_FILE,
    SCHEDULE_FILE,
    read_json_lines,
    reserve_model_dir,
)
from adl_tf.models.checkpoint_files import list_checkpoints
from adl_tf.models.classes import trained_class_names
from adl_tf.models.trained_on import kept_data
from adl_tf.runs.data import RunData, Validation
from adl_tf.runs.phases import Phase
from adl_tf.system.files import write_text
from adl_tf.system.progress import say
from adl_tf.training.checkpointing import Checkpointing
from adl_tf.training.devices import (
    FLOAT32,
    configure_runtime,
    deterministic_ops,
    precision_policy,
    seeded,
)


class Run(NamedTuple):
    """The place of a run.

    Attributes:
      model_dir: model directory of the run, which all its processes can read.
      own_dir: the directory that this process writes to; the same for the only or first one.
      workers: the processes of the run.
      strategy: over the devices of this process.
    """

    model_dir: str
    own_dir: str
    workers: Workers
    strategy: tf.distribute.Strategy


@contextlib.contextmanager
def open_run(
    model_dir: str, data: RunData, precision: str = FLOAT32, small_kernels: bool = False
) -> Iterator[Run]:
    """Sets up the devices that gin binds, the processes, the seed and the data of a run.

    Args:
      model_dir: directory of everything that is written.
      data: images, open inside the block.
      precision: see `precision_policy`.
      small_kernels: see `configure_runtime`.

    Raises:
      ValueError, FileNotFoundError: bad configuration or data set.
    """
    configure_runtime(small_kernels)
    strategy = distribution_strategy()
    workers = Workers(strategy)
    deterministic = deterministic_ops(data.deterministic)
    own, seed, policy = workers.running(model_dir), seeded(data.seed), precision_policy(precision)
    with own as own_dir, seed, policy, deterministic, data.open(must_score=False):
        yield Run(model_dir, own_dir, workers, strategy)


def reserve(model_dir: str, files: Dict[str, Dict[str, Any]]) -> None:
    """Reserves a model directory for a run and its data, see `reserve_model_dir`.

    Args:
      model_dir: the directory.
      files: by the names of JSON files, what the run will store there; that of `schedule.json` has
        the identity of the run's data, see `RunData.schedule`.

    Raises:
      ValueError: it holds another run, or one of other data.
    """
    results = (METRICS_FILE, RANKING_FILE, *CHECKPOINTS, COMPACT_WEIGHTS_FILE)
    states = [model_dir, *glob.glob(os.path.join(glob.escape(model_dir), CANDIDATES_FOLDER, "*"))]
    begun = any(map(list_checkpoints, states)) or any(
        os.path.exists(os.path.join(model_dir, name)) for name in results
    )
    if begun:
        schedule, ways = files[SCHEDULE_FILE], "give another --model_dir"
        if NETWORK_FILE in files:
            ways += f" (with --init_from={model_dir} it starts from these weights)"
        kept = check_same_data(model_dir, parse_identity(schedule[DATA]), ways)
        if os.path.exists(os.path.join(model_dir, SCHEDULE_FILE)):  # Else it is written anew.
            files = {**files, SCHEDULE_FILE: {**schedule, DATA: kept}}
    for file, content in files.items():
        reserve_model_dir(model_dir, file, content, begun)


def check_same_data(model_dir: str, found: DataIdentity, ways: str) -> Optional[Dict[str, Any]]:
    """Checks that a run that has begun resumes with the same data.

    Args:
      model_dir: model directory of the run.
      found: the identity of the data now.
      ways: how to go on with other data, for the message.

    Returns:
      what `schedule.json` keeps of the data; None in a directory of an earlier version, which kept
      the names of the classes at most.

    Raises:
      ValueError: the data have changed, or a file is damaged.
    """
    kept = kept_data(model_dir)
    if kept is None:
        names = trained_class_names(model_dir)
        changes = "; ".join(changed_classes(names, found.class_names)) if names else ""
    else:
        changes = describe_changes(kept, found)
    if changes:
        raise ValueError(
            f"{model_dir}: the data have changed since this run began ({changes}): {ways}, or "
            "bring back the data as they were."
        )
    return kept and kept.to_dict()


def start_or_resume(model_dir: str, checkpointing: Checkpointing, place: Callable[[], str]) -> bool:
    """Restores the newest checkpoint, if there is one, and reports where the run stands.

    Args:
      model_dir: model directory of the run.
      checkpointing: what is restored.
      place: describes where the run stands; called after restoring.

    Returns:
      whether there was a checkpoint.

    Raises:
      ValueError: the checkpoint does not fit.
    """
    resumed = checkpointing.restore()
    say(
        f"{'Resuming in' if resumed else 'Writing to'} {model_dir} ({place()}). "
        f"Watch it: tensorboard --logdir {model_dir}"
    )
    return resumed


def fit_phases(
    model_dir: str,
    model: tf.keras.Model,
    phases: Sequence[Phase],
    training_data: Callable[[bool], tf.data.Dataset],
    validation: Optional[Validation],
    watchers: Sequence[tf.keras.callbacks.Callback],
    records: Sequence[tf.keras.callbacks.Callback],
) -> None:
    """Trains and validates epoch by epoch.

    Args:
      model_dir: gets the operative gin configuration.
      model: compiled, restored.
      phases: see `plan_phases`.
      training_data: returns the data of alternating or of weight-only steps, from where the model
        stands.
      validation: scored after each epoch; None for no scores.
      watchers: callbacks of the steps.
      records: callbacks of the epochs, which save the results of a step or an epoch; the last one
        saves the state of the others.
    """
    graph_alternates = None
    for phase in phases:
        if not phase.steps:
            end_epoch(model, validation, phase.first_epoch, records)
            continue
        data = training_data(phase.alternating)
        if graph_alternates != phase.alternating:
            # The graph of the other kind would take memory and never run again.
            model.train_function = None
            gc.collect()
            graph_alternates = phase.alternating
        write_config(model_dir)  # Now that everything that takes bindings has been called.
        model.fit(
            data,
            initial_epoch=phase.first_epoch,
            epochs=phase.end_epoch,
            steps_per_epoch=phase.steps,
            validation_data=validation and validation.data,
            validation_steps=validation and validation.steps,
            callbacks=[*watchers, *records],
            verbose=0,
        )


def end_epoch(
    model: tf.keras.Model,
    validation: Optional[Validation],
    epoch: int,
    records: Sequence[tf.keras.callbacks.Callback],
) -> None:
    """Validates an epoch whose steps are all done; `fit` does not support zero steps."""
    scores = {}
    if validation is not None:
        data, steps = validation
        scores = model.evaluate(data, steps=steps, verbose=0, return_dict=True)
    for callback in records:
        callback.set_model(model)  # Nothing may have been fitted yet.
        callback.on_epoch_end(epoch, {f"val_{name}": value for name, value in scores.items()})


def write_config(model_dir: str) -> None:
    """Writes the operative gin configuration: that of everything called so far."""
    write_text(gin.operative_config_str(), os.path.join(model_dir, CONFIG_FILE))


def last_val_miou(model_dir: str) -> Optional[float]:
    """mIoU of the last validation; None before the first."""
    metrics = read_json_lines(os.path.join(model_dir, METRICS_FILE), key="epoch", of=int)
    return metrics[max(metrics)].get("val_miou") if metrics else None
