"""A training of one network, from its images to its weights."""

import time
from typing import Any, Callable, Dict, Optional

import gin
import tensorflow as tf

from adl_tf.distribution.strategy import check_devices, distribute
from adl_tf.model_directory import NETWORK_FILE, SCHEDULE_FILE
from adl_tf.models.checkpoint_files import list_checkpoints
from adl_tf.models.registry import NetworkDescription
from adl_tf.models.trained_on import write_run
from adl_tf.runs.data import RunData
from adl_tf.runs.network import RunNetwork
from adl_tf.runs.phases import plan_phases
from adl_tf.runs.progress_bar import ProgressBar
from adl_tf.runs.run import fit_phases, last_val_miou, open_run, reserve, start_or_resume
from adl_tf.system.files import exclusive
from adl_tf.system.progress import say
from adl_tf.system.settings import Count, configurable
from adl_tf.training.callbacks.dropping import DropPathSchedule, HeadDropout
from adl_tf.training.callbacks.metrics_log import MetricsLog
from adl_tf.training.callbacks.result_weights import ResultWeights
from adl_tf.training.checkpointing import Checkpointing, StopWhenNotFinite
from adl_tf.training.devices import FLOAT32, graphs_as_written, precision_policy
from adl_tf.training.losses import weighted_loss
from adl_tf.training.optimizers import Optimizer, training_optimizer
from adl_tf.training.training_model import TrainingModel


@configurable
def run_training(
    model_dir: str,
    data: Optional[RunData] = None,
    network: Optional[RunNetwork] = None,
    steps: Count = gin.REQUIRED,
    validate_every: Optional[Count] = None,
    checkpoint_steps: Count = 200,
    class_balanced_loss: bool = False,
    precision: str = FLOAT32,
    optimizer: Callable[..., Optimizer] = training_optimizer,
    loss: Callable[..., Any] = weighted_loss,
    jit_compile: bool = False,
) -> Dict[str, Any]:
    """Runs a training, or resumes one where it stopped.

    Args:
      model_dir: directory of everything that is written.
      data: images; None for those bound by gin.
      network: what is trained; None for the one bound by gin.
      steps: steps of the run.
      validate_every: steps between validations; None for a pass over the training split.
      checkpoint_steps: steps between checkpoints inside such an epoch.
      class_balanced_loss: weigh pixels by median frequency / frequency of their class.
      precision: "float32", "mixed_bfloat16" or "mixed_float16"; scores are of float32.
      optimizer: makes the optimizer, given `total_steps`.
      loss: see `TrainingModel.compile`.
      jit_compile: compile the steps with XLA.

    Returns:
      val_miou (of the last epoch), best_val_miou (both None for a data set without val, of which
      nothing is scored), steps, seconds (of this run), model_dir.

    Raises:
      ValueError, FileNotFoundError: bad configuration, data set or checkpoint.
    """
    started = time.time()
    data, network = data or RunData(), network or RunNetwork()
    with open_run(model_dir, data, precision) as run, graphs_as_written():
        own_dir = run.own_dir
        epoch_steps = _steps_per_epoch(data, steps, validate_every)
        description = network.describe(data.num_classes)
        class_weights = data.class_weights() if class_balanced_loss else None
        with run.strategy.scope():
            built = network.build(description, resumed=bool(list_checkpoints(model_dir)))
            scored = _scored_network(network, description, precision)
            model = TrainingModel(built, class_weights, scored=scored)
            check_devices(run.strategy, data.batch_size, model.accumulation_steps, jit_compile)
            model.compile(optimizer(total_steps=steps), loss, jit_compile=jit_compile)
            model.build((None, *data.crop_size, 3))
        with exclusive(own_dir):
            schedule = data.schedule(epoch_steps)
            reserve(own_dir, {NETWORK_FILE: description.to_dict(), SCHEDULE_FILE: schedule})
            best = ResultWeights(own_dir, model)
            rate = f"{getattr(optimizer, '__name__', 'the optimizer')}.initial_rate"
            checkpointing = Checkpointing(
                own_dir,
                epoch_steps,
                checkpoint_steps,
                run.workers,
                model_dir,
                rates=rate,
                metrics=model.metrics,
                network=model.network,
                optimizer=model.optimizer,
                positions=model.positions,
                best=best.best,
            )
            start_or_resume(
                model_dir, checkpointing, lambda: _place(checkpointing, steps, epoch_steps)
            )
            if not data.is_scored:
                say(f"{data.directory} has no split val: nothing is scored, and best is the last.")
            write_run(own_dir, data.directory, data.train_reader.description)
            stop = StopWhenNotFinite(checkpointing, validation=precision != "mixed_float16")
            _fit(own_dir, model, data, epoch_steps, best, checkpointing, steps, stop)
            result = _report(own_dir, model, best, started)
    return {**result, "model_dir": model_dir}


def _steps_per_epoch(data: RunData, steps: int, validate_every: Optional[int]) -> int:
    """Steps between validations."""
    one_pass = data.steps_per_pass()  # This also checks that there is at least one batch.
    return min(steps, validate_every or one_pass)


def _scored_network(
    network: RunNetwork, description: NetworkDescription, precision: str
) -> Optional[tf.keras.Model]:
    """The network in float32, in which an evaluation computes; None if the training's is that."""
    if precision == FLOAT32:
        return None
    with precision_policy(FLOAT32):
        return network.build(description, resumed=True)


def _place(checkpointing: Checkpointing, steps: int, steps_per_epoch: int) -> str:
    """Where a training stands, in words."""
    done = checkpointing.epoch * steps_per_epoch + checkpointing.step
    return f"step {done} of {steps}, validation every {steps_per_epoch}"


def _fit(
    model_dir: str,
    model: TrainingModel,
    data: RunData,
    epoch_steps: int,
    best: ResultWeights,
    checkpointing: Checkpointing,
    steps: int,
    stop: StopWhenNotFinite,
) -> None:
    """Trains the network, and keeps its weights after each validation."""
    phases = plan_phases(steps, epoch_steps, checkpointing.epoch, checkpointing.step)
    bar = ProgressBar(plan_phases(steps, epoch_steps), phases, note=best.describe)
    watchers = [
        DropPathSchedule(model.network, model.optimizer, steps),
        HeadDropout(model.network, model.optimizer),
    ]
    log = MetricsLog(
        model_dir,
        model.network,
        model.optimizer,
        data.train_reader.description,
        data.validation_stream().take(2) if data.is_scored else (),
    )
    strategy = model.distribute_strategy

    def training_data(alternating):
        del alternating
        position = int(model.positions[0].numpy())
        return distribute(strategy, lambda shard: data.training_stream(position, None, shard))

    with checkpointing, bar:
        fit_phases(
            model_dir,
            model,
            phases,
            training_data,
            data.validation(strategy) if data.is_scored else None,
            watchers,
            [stop, log, best, bar, checkpointing],  # The bar's line has the best score so far.
        )


def _report(
    model_dir: str, model: TrainingModel, best: ResultWeights, started: float
) -> Dict[str, Any]:
    """The results, see `run_training`."""
    return {
        "val_miou": last_val_miou(model_dir),
        "best_val_miou": float(best.best) if best.best >= 0 else None,
        "steps": int(model.optimizer.iterations.numpy()),
        "seconds": round(time.time() - started, 1),
        "model_dir": model_dir,
    }
