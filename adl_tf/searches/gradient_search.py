"""The paper's search, by alternating gradient steps; then trainings of what it proposes."""

import functools
import os
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

import numpy as np
import tensorflow as tf

from adl_tf.configuration import configured_sizes, configured_space
from adl_tf.distribution.strategy import check_devices, distribute
from adl_tf.layers.variables import of_one_name
from adl_tf.model_directory import (
    GENOTYPE_FILE,
    PROPOSALS_PICTURE,
    SCHEDULE_FILE,
    SPACE_FILE,
)
from adl_tf.models.supernet import Supernet
from adl_tf.runs.data import RunData
from adl_tf.runs.phases import Phase, plan_phases
from adl_tf.runs.progress_bar import ProgressBar
from adl_tf.runs.run import Run, fit_phases, last_val_miou, open_run, reserve, start_or_resume
from adl_tf.searches.comparison import compare
from adl_tf.searches.proposals import DRAWS, random_candidates, searched_candidates
from adl_tf.searches.result import describe_search, write_events, write_result
from adl_tf.searches.trials import Candidate, Trials, winner
from adl_tf.serving.layer_timing import with_latency
from adl_tf.space.budget import Budget
from adl_tf.space.network_sizes import NetworkSizes
from adl_tf.space.relaxed import RelaxedArchitecture
from adl_tf.space.search_space import SearchSpace, level_stride
from adl_tf.system.files import exclusive
from adl_tf.system.progress import Progress
from adl_tf.system.settings import Count, Number, configurable
from adl_tf.training.alternating_model import AlternatingModel
from adl_tf.training.callbacks.architecture_log import ArchitectureLog, record_architecture
from adl_tf.training.checkpointing import Checkpointing, StopWhenNotFinite
from adl_tf.training.devices import FLOAT32, graphs_as_written
from adl_tf.training.losses import segmentation_loss
from adl_tf.training.optimizers import (
    Optimizer,
    architecture_optimizer,
    walk_of_noise,
    weight_optimizer,
)
from adl_tf.visualization.proposals import draw_proposals


@configurable
def run_gradient_search(
    model_dir: str,
    data: Optional[RunData] = None,
    space: Optional[SearchSpace] = None,
    sizes: Optional[NetworkSizes] = None,
    epochs: Count = 40,
    arch_start_epoch: Optional[Number] = None,
    steps_per_epoch: Optional[Count] = None,
    checkpoint_steps: Count = 200,
    weight_optimizer: Callable[..., Optimizer] = weight_optimizer,
    architecture_optimizer: Callable[..., Optimizer] = architecture_optimizer,
    loss: Callable[..., tf.Tensor] = segmentation_loss,
    trials: Optional[Callable[[], Trials]] = None,
    proposals: Count = 8,
    budget: Optional[Callable[..., Budget]] = None,
    precision: str = FLOAT32,
) -> Dict[str, Any]:
    """Runs a search, or resumes one where it stopped.

    Weights are trained on trainA and, from `arch_start_epoch` on, alpha and beta on trainB in turn.
    Then the search proposes and trainings decide: the decoded network, the widest of many draws
    from the softmaxes of alpha and beta, and as many random networks of the same cost, the widest
    of as many draws, go through the same short trainings. The best of all is what was found; how
    the two arms compare says what the search was worth on these data.

    Args:
      model_dir: directory of everything that is written.
      data: images; None for those bound by gin.
      space: what is searched; None for the one bound by gin.
      sizes: filters of stem, ASPP and decoder of the networks; None for those bound by gin. The
        supernet has the same stem.
      epochs: passes over trainA, the first half of the training split.
      arch_start_epoch: passes before alpha and beta start to train; None for half of them, as in
        the paper.
      steps_per_epoch: steps instead of a pass over trainA.
      checkpoint_steps: steps between checkpoints inside an epoch.
      weight_optimizer: makes the weights' optimizer, given `total_steps`.
      architecture_optimizer: makes that of alpha and beta of `total_steps`, its own.
      loss: see `AlternatingModel.compile`.
      trials: makes what tries the proposals; None takes the decoded network as it is (the paper).
      proposals: networks of the search to try, and as many random ones.
      budget: makes the budget that F of each of them fills, given `num_classes` and `sizes`; None
        leaves the space's F.
      precision: "float32", "mixed_bfloat16" or "mixed_float16"; alpha, beta, statistics, logits
        and losses are float32 in any case.

    Returns:
      genotype (path of its file), path, cell, filter_multiplier, probability (of the path),
      decision (see `Decision`), val_miou (of the supernet), weight_steps, arch_steps, proposals
      (training losses of both arms and the p-value of their difference, see `Comparison`; where
      there were any), seconds (of this run), model_dir.

    Raises:
      ValueError, FileNotFoundError: bad configuration or data set.
    """
    started = time.time()
    data, space = data or RunData(), space or configured_space()
    sizes = sizes or configured_sizes()
    if space.num_layers < 2:
        raise ValueError("SearchSpace.num_layers = 1: without a move there is no path to search.")
    with open_run(model_dir, data, precision, small_kernels=True) as run:
        own_dir = run.own_dir
        steps = steps_per_epoch or data.steps_per_pass("A")
        start = epochs // 2 if arch_start_epoch is None else arch_start_epoch
        _check(data, run.strategy)
        trials = trials and trials()
        limit = budget and with_latency(budget(num_classes=data.num_classes, sizes=sizes))
        random = trials and random_candidates(space, proposals, data.seed, sizes, limit)
        with run.strategy.scope(), of_one_name("supernet"):
            model = AlternatingModel(Supernet(space, data.num_classes, stem=sizes.stem))
            weights = weight_optimizer(total_steps=epochs * steps)
            architecture = architecture_optimizer(total_steps=max(0, epochs - start) * steps)
            model.compile(weights, architecture, loss)
            model.build((None, *data.crop_size, 3))
        with exclusive(own_dir):
            description = describe_search(run_gradient_search.__name__, model.supernet)
            schedule = _schedule(data.schedule(steps), trials, proposals, sizes, limit, precision)
            reserve(own_dir, {SPACE_FILE: description, SCHEDULE_FILE: schedule})
            plan = functools.partial(plan_phases, epochs * steps, steps, alternating_from=start)
            later = trials.work(2 * proposals) if trials else 0
            trained = _train(run, model, data, plan, checkpoint_steps, precision, later)
            del model, weights, architecture  # Their memory is for the trials.
            if trials:
                searched = searched_candidates(
                    trained.architecture, trained.noise, proposals, data.seed, sizes, limit
                )
                found = _try(run, trials, searched + random, data, trained)
            else:
                found = _write(run, trained)
    return {
        **found,
        "val_miou": last_val_miou(own_dir),
        "weight_steps": trained.weight_steps,
        "arch_steps": trained.architecture_steps,
        "seconds": round(time.time() - started, 1),
        "genotype": os.path.join(model_dir, GENOTYPE_FILE),  # `own_dir` may be gone by now.
        "model_dir": model_dir,
    }


def _check(data: RunData, strategy: tf.distribute.Strategy) -> None:
    """Raises ValueError for devices or images that a search cannot use."""
    check_devices(strategy, data.batch_size)
    if data.is_scored and data.val_reader.largest_size is None:
        raise ValueError(
            f"{data.directory}: the supernet scores images of one size, but not all records of "
            f"{data.val_reader.split!r} give image/height and image/width; convert them with "
            "data_prep."
        )


def _schedule(
    data: Dict[str, Any],
    trials: Optional[Trials],
    proposals: int,
    sizes: NetworkSizes,
    budget: Optional[Budget],
    precision: str,
) -> Dict[str, Any]:
    """The content of `schedule.json`: data and steps of a search, and how it tries proposals."""
    schedule = {**data, "precision": precision}
    if trials:
        schedule.update(proposals=proposals, draws=DRAWS, sizes=sizes.to_dict())
        schedule["trials"] = trials.settings()
    if budget:
        schedule["budget"] = budget.to_dict()
    return schedule


class _Trained(NamedTuple):
    """A supernet at the end of its training.

    Attributes:
      architecture: alpha and beta.
      noise: how far each logit would have moved on noise alone.
      weight_steps, architecture_steps: how many were made.
      progress: progress of the whole search.
    """

    architecture: RelaxedArchitecture
    noise: float
    weight_steps: int
    architecture_steps: int
    progress: Progress


def _train(
    run: Run,
    model: AlternatingModel,
    data: RunData,
    plan: Callable[..., List[Phase]],
    checkpoint_steps: int,
    precision: str,
    later: int,
) -> _Trained:
    """Trains the supernet to its last step, from where an earlier run stopped."""
    phases, (last, *_) = plan(), reversed(plan())
    checkpointing = Checkpointing(
        run.own_dir,
        phases[0].steps,
        checkpoint_steps,
        run.workers,
        run.model_dir,
        rates="weight_optimizer.initial_rate or architecture_optimizer.rate",
        metrics=model.metrics,
        supernet=model.supernet,
        weight_optimizer=model.weight_optimizer,
        architecture_optimizer=model.architecture_optimizer,
        positions=model.positions,
    )

    def describe_place():
        step = f"step {checkpointing.step} of {phases[0].steps}"
        return f"epoch {checkpointing.epoch} of {last.end_epoch}, {step}"

    if not start_or_resume(run.model_dir, checkpointing, describe_place):
        record_architecture(run.own_dir, 0, model.supernet.architecture())
    left = plan(checkpointing.epoch, checkpointing.step)
    bar = ProgressBar(phases, left, later, note=lambda: _describe_path(model.supernet))
    stop = StopWhenNotFinite(checkpointing, validation=precision != "mixed_float16")
    with graphs_as_written():
        _fit(run, model, data, left, bar, [stop], checkpointing)
    return _Trained(
        model.supernet.architecture(),
        walk_of_noise(model.architecture_optimizer),
        int(model.weight_optimizer.iterations.numpy()),
        int(model.architecture_optimizer.iterations.numpy()),
        bar.progress,
    )


def _fit(
    run: Run,
    model: AlternatingModel,
    data: RunData,
    phases: Sequence[Phase],
    bar: ProgressBar,
    first: List[tf.keras.callbacks.Callback],
    checkpointing: Checkpointing,
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

    log = ArchitectureLog(
        run.own_dir,
        model.supernet,
        model.weight_optimizer,
        data.train_reader.description,
        data.validation_stream(padded=True).take(2) if data.is_scored else (),
    )
    # The supernet needs one size.
    validation = data.validation(strategy, padded=True) if data.is_scored else None
    with checkpointing, bar:
        fit_phases(
            run.own_dir,
            model,
            phases,
            training_data,
            validation,
            [bar],
            [*first, log, checkpointing],
        )


def _describe_path(supernet: Supernet) -> str:
    genotype, _ = supernet.decode()
    return "path " + "-".join(str(level_stride(level)) for level in genotype.path)


def _write(run: Run, trained: _Trained, **fields: Any) -> Dict[str, Any]:
    """Writes what was found; not by a checkpoint, which a worker that resumed may not have."""
    output = os.path.join(run.own_dir, GENOTYPE_FILE)
    return write_result(run.own_dir, trained.architecture, output, **fields)


def _try(
    run: Run, trials: Trials, candidates: Sequence[Candidate], data: RunData, trained: _Trained
) -> Dict[str, Any]:
    """Trains the candidates; writes the best one, and what the trials say of the search."""
    with trained.progress as progress:
        tried = trials.run(run, candidates, data, progress)
    best, comparison = winner(tried), compare(tried)
    result = _write(
        run,
        trained,
        found=best.candidate.genotype,
        pictures={PROPOSALS_PICTURE: draw_proposals(comparison.searched, comparison.random)},
        remarks=[comparison.sentence(), best.sentence()],
        **best.fields(),
    )
    write_events(
        run.own_dir,
        trained.weight_steps,
        {
            "found/loss": best.losses[-1],
            "proposals/searched": float(np.median(comparison.searched)),
            "proposals/random": float(np.median(comparison.random)),
            "proposals/p_value": comparison.p_value,
        },
    )
    return {**result, "proposals": comparison.numbers()}
