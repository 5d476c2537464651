"""A search from its images to its genotype."""

import dataclasses
import functools
import os
import time
from typing import Any, Callable, Dict, Optional, Sequence

import tensorflow as tf

from adl_tf.configuration import configured_sizes, configured_space
from adl_tf.distribution.strategy import check_devices, distribute, distribution_strategy
from adl_tf.distribution.workers import Workers
from adl_tf.files import exclusive
from adl_tf.model_directory import GENOTYPE_FILE, SCHEDULE_FILE, SPACE_FILE
from adl_tf.models.supernet import SOFTMAX, Supernet
from adl_tf.runs.data import RunData
from adl_tf.runs.phases import Phase, plan_phases
from adl_tf.runs.progress_bar import ProgressBar
from adl_tf.runs.run import claim, fit_phases, last_val_miou, start_or_resume
from adl_tf.runs.search_result import decode_search, most_probable, within
from adl_tf.settings import Count, NotNegative, Number, configurable
from adl_tf.space.budget import Budget
from adl_tf.space.genotype import Genotype
from adl_tf.space.search_space import SearchSpace, level_stride
from adl_tf.training.alternating_model import AlternatingModel
from adl_tf.training.callbacks.architecture_log import ArchitectureLog, record_architecture
from adl_tf.training.callbacks.temperature import TemperatureSchedule
from adl_tf.training.checkpointing import Checkpointing, StopWhenNotFinite
from adl_tf.training.cost_penalty import CostPenalty, CostSchedule
from adl_tf.training.devices import (
    FLOAT32,
    configure_runtime,
    deterministic_ops,
    precision_policy,
    seeded,
)
from adl_tf.training.losses import segmentation_loss
from adl_tf.training.optimizers import Optimizer, architecture_optimizer, weight_optimizer


@configurable
def run_search(
    model_dir: str,
    data: Optional[RunData] = None,
    space: Optional[SearchSpace] = None,
    epochs: Count = 40,
    arch_start_epoch: Optional[Number] = None,
    relaxation: str = SOFTMAX,
    steps_per_epoch: Optional[Count] = None,
    checkpoint_steps: Count = 200,
    weight_optimizer: Callable[..., Optimizer] = weight_optimizer,
    architecture_optimizer: Callable[..., Optimizer] = architecture_optimizer,
    loss: Callable[..., tf.Tensor] = segmentation_loss,
    budget: Optional[Callable[..., Budget]] = None,
    cost_weight: NotNegative = 0.0,
    precision: str = FLOAT32,
) -> Dict[str, Any]:
    """Runs a search, or resumes one where it stopped.

    Args:
      model_dir: directory of everything that is written.
      data: images; None for those bound by gin.
      space: what is searched; None for the one bound by gin.
      epochs: passes over trainA, the first half of the training split.
      arch_start_epoch: passes before alpha and beta start to train; None for half of them, as in
        the paper.
      relaxation: "softmax" (the paper) or "gumbel", see `Supernet`.
      steps_per_epoch: steps instead of a pass over trainA.
      checkpoint_steps: steps between checkpoints inside an epoch.
      weight_optimizer: makes the weights' optimizer, given `total_steps`.
      architecture_optimizer: makes that of alpha and beta of `total_steps`, its own.
      loss: see `AlternatingModel.compile`.
      budget: makes the budget that the decoded network meets, given `num_classes` and the
        `sizes` that gin binds; None for none.
      cost_weight: of the cost in the loss of alpha and beta at first, see `CostPenalty`; needs a
        budget.
      precision: "float32", "mixed_bfloat16" or "mixed_float16"; alpha, beta, statistics, logits
        and losses are float32 in any case.

    Returns:
      genotype (path of its file), path, cell, decision (see `Decision`), val_miou,
      weight_steps, arch_steps, seconds (of this run), model_dir.

    Raises:
      ValueError, FileNotFoundError: bad configuration or data set.
    """
    started = time.time()
    data, space = data or RunData(), space or configured_space()
    if space.num_layers < 2:
        raise ValueError("SearchSpace.num_layers = 1: without a move there is no path to search.")
    configure_runtime(small_kernels=True)
    strategy = distribution_strategy()
    workers = Workers(strategy)
    deterministic = deterministic_ops(data.deterministic)
    own, seed, policy = workers.running(model_dir), seeded(data.seed), precision_policy(precision)
    with own as own_dir, seed, policy, deterministic, data.open():
        steps = steps_per_epoch or data.steps_per_pass("A")
        alternating_from = epochs // 2 if arch_start_epoch is None else arch_start_epoch
        architecture_steps = max(0, epochs - alternating_from) * steps
        limit = budget and budget(num_classes=data.num_classes, sizes=configured_sizes())
        if cost_weight and not limit:
            raise ValueError(
                "run_search.cost_weight needs a budget: run_search.budget = @Budget, and bindings "
                "such as Budget.multi_adds."
            )
        _check(data, strategy)
        with strategy.scope():
            penalty = CostPenalty(space, limit, cost_weight) if cost_weight else None
            model = AlternatingModel(Supernet(space, data.num_classes, relaxation), penalty=penalty)
            model.compile(
                weight_optimizer(total_steps=epochs * steps),
                architecture_optimizer(total_steps=architecture_steps),
                loss,
            )
            model.build((None, *data.crop_size, 3))
        with exclusive(own_dir):
            settings = _settings(relaxation, limit, cost_weight, precision)
            claim(
                own_dir,
                {
                    SPACE_FILE: {**dataclasses.asdict(space), "num_classes": data.num_classes},
                    SCHEDULE_FILE: {**data.schedule(steps), **settings},
                },
            )
            checkpointing = Checkpointing(
                own_dir,
                steps,
                checkpoint_steps,
                workers,
                model_dir,
                rates="weight_optimizer.initial_rate or architecture_optimizer.rate",
                metrics=model.metrics,
                **_state(model),
            )
            if not start_or_resume(
                model_dir, checkpointing, lambda: _place(checkpointing, epochs, steps)
            ):
                record_architecture(own_dir, 0, *model.supernet.architecture())
            plan = functools.partial(
                plan_phases, epochs * steps, steps, alternating_from=alternating_from
            )
            phases = plan(checkpointing.epoch, checkpointing.step)
            bar = ProgressBar(plan(), phases, note=lambda: _describe_path(model.supernet))
            temperature = TemperatureSchedule(
                model.supernet, model.architecture_optimizer, architecture_steps
            )
            stop = StopWhenNotFinite(checkpointing, validation=precision != "mixed_float16")
            _fit(own_dir, model, data, phases, bar, temperature, checkpointing, stop)
            choose = within(limit) if limit else most_probable
            result = _report(own_dir, model, started, choose)
            # Of the other machines' directories nothing is left.
            names = {"genotype": os.path.join(model_dir, GENOTYPE_FILE), "model_dir": model_dir}
            return {**result, **names}


def _check(data: RunData, strategy: tf.distribute.Strategy) -> None:
    """Raises ValueError for devices or images that a search cannot use."""
    check_devices(strategy, data.batch_size)
    if data.val_reader.largest_size is None:
        raise ValueError(
            f"{data.directory}: the supernet scores images of one size, but not all records of "
            f"{data.val_reader.split!r} give image/height and image/width; convert them with "
            "data_prep."
        )


def _settings(
    relaxation: str, budget: Optional[Budget], cost_weight: float, precision: str
) -> Dict[str, Any]:
    """What `schedule.json` records of a search beyond its data; defaults are left out, as in the
    files of earlier versions."""
    settings = {} if relaxation == SOFTMAX else {"relaxation": relaxation}
    if budget:
        settings["budget"] = budget.to_dict()
    if cost_weight:
        settings["cost_weight"] = cost_weight
    if precision != FLOAT32:
        settings["precision"] = precision
    return settings


def _state(model: AlternatingModel) -> Dict[str, Any]:
    """What a search resumes from."""
    return {
        "supernet": model.supernet,
        "weight_optimizer": model.weight_optimizer,
        "architecture_optimizer": model.architecture_optimizer,
        "positions": model.positions,
        **({"penalty": model.penalty} if model.penalty else {}),
    }


def _place(checkpointing: Checkpointing, epochs: int, steps_per_epoch: int) -> str:
    """Where a search stands, in words."""
    step = f"step {checkpointing.step} of {steps_per_epoch}"
    return f"epoch {checkpointing.epoch} of {epochs}, {step}"


def _fit(
    model_dir: str,
    model: AlternatingModel,
    data: RunData,
    phases: Sequence[Phase],
    bar: ProgressBar,
    temperature: TemperatureSchedule,
    checkpointing: Checkpointing,
    stop: StopWhenNotFinite,
) -> None:
    """Trains weights on trainA and, in alternating phases, the architecture on trainB."""

    strategy = model.distribute_strategy

    def training_data(alternating):
        halves = "AB" if alternating else "A"
        positions = [int(position.numpy()) for position in model.positions]

        def stream(shard):
            parts = zip(positions, halves)
            return tf.data.Dataset.zip(tuple(data.training_stream(*part, shard) for part in parts))

        return distribute(strategy, stream)

    watchers = [temperature, bar]
    if model.penalty:
        optimizer = model.architecture_optimizer
        watchers.append(CostSchedule(model.supernet, optimizer, model.penalty))
    log = ArchitectureLog(
        model_dir,
        model.supernet,
        model.weight_optimizer,
        data.val_reader.description,
        data.validation_stream(padded=True).take(2),
    )
    validation = data.validation(strategy, padded=True)  # The supernet needs one size.
    with checkpointing, bar:
        records = [stop, log, checkpointing]
        fit_phases(model_dir, model, phases, training_data, validation, watchers, records)


def _describe_path(supernet: Supernet) -> str:
    genotype, _ = supernet.decode()
    return "path " + "-".join(str(level_stride(level)) for level in genotype.path)


def _report(
    model_dir: str, model: AlternatingModel, started: float, choose: Callable[..., Genotype]
) -> Dict[str, Any]:
    """Decodes the search and returns its results, see `run_search`."""
    decoded = decode_search(model_dir, choose=choose)
    return {
        "genotype": decoded["genotype"],
        "path": decoded["path"],
        "cell": decoded["cell"],
        "probability": decoded["probability"],
        "decision": decoded["decision"],
        "val_miou": last_val_miou(model_dir),
        "weight_steps": int(model.weight_optimizer.iterations.numpy()),
        "arch_steps": int(model.architecture_optimizer.iterations.numpy()),
        "seconds": round(time.time() - started, 1),
        "model_dir": model_dir,
    }
