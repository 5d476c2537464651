"""Random search with early stopping: genotypes are trained shortly, the poor ones shorter."""

import dataclasses
import gc
import os
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence

import gin
import numpy as np
import tensorflow as tf

from adl_tf.configuration import configured_sizes, configured_space
from adl_tf.distribution.strategy import check_single_device
from adl_tf.files import exclusive
from adl_tf.model_directory import (
    RANKING_FILE,
    SCHEDULE_FILE,
    SPACE_FILE,
    append_json_line,
    read_json_lines,
)
from adl_tf.models.aspp import freeze_pooled_norms, set_norm_momentum
from adl_tf.models.registry import DECODED, NetworkDescription, build_network
from adl_tf.progress import Progress, say
from adl_tf.runs.data import RunData
from adl_tf.runs.run import claim, write_config
from adl_tf.runs.search_result import write_ranked
from adl_tf.settings import Count, PartialShare, SomeShare, configurable
from adl_tf.space.budget import Budget
from adl_tf.space.decision import weightless_share, weightless_warning
from adl_tf.space.early_stopping import goes_on
from adl_tf.space.genotype import Genotype
from adl_tf.space.network_sizes import NetworkSizes
from adl_tf.space.sampling import sample_genotype, sample_within
from adl_tf.space.search_space import SearchSpace
from adl_tf.training.callbacks.step_times import StepTimes
from adl_tf.training.devices import (
    configure_runtime,
    deterministic_ops,
    seeded,
)
from adl_tf.training.optimizers import Optimizer, training_optimizer
from adl_tf.training.training_model import TrainingModel


class Trial(NamedTuple):
    """One genotype and how well it learned.

    Attributes:
      genotype: what was trained.
      mious: on the training crops of each rung that it reached.
      losses: the same of the loss.
      seconds_per_step: median; the first step also builds the graph.
    """

    genotype: Genotype
    mious: Sequence[float]
    losses: Sequence[float]
    seconds_per_step: float


@configurable
def run_random_search(
    model_dir: str,
    data: Optional[RunData] = None,
    space: Optional[SearchSpace] = None,
    sizes: Optional[NetworkSizes] = None,
    budget: Optional[Callable[..., Budget]] = None,
    steps: Count = gin.REQUIRED,
    candidates: Count = 20,
    rungs: Count = 4,
    share: SomeShare = 0.33,
    keep: Count = 5,
    class_balanced_loss: bool = False,
    norm_momentum: PartialShare = 0.97,
    optimizer: Callable[..., Optimizer] = training_optimizer,
) -> Dict[str, Any]:
    """Trains random genotypes one after the other, and stops those that learn poorly.

    A training has a few rungs of equally many steps. After each but the last, a genotype goes on
    only if its mIoU on the training crops of the rung is in the best `share` of all that reached
    the rung so far. All see the same images with the same initial seed. The best of those that
    reached the end is what was found.

    Random search with early stopping is one of the two baselines that architecture search has to
    beat (Li and Talwalkar, https://arxiv.org/abs/1902.07638); who goes on: see
    `space.early_stopping`.

    The same command resumes: a genotype whose training was interrupted starts again.

    Args:
      model_dir: directory of everything that is written.
      data: images; None for those that gin binds. All of its training split is trained on, and
        nothing else is seen.
      space: what is searched, its F included; None for the one that gin binds.
      sizes: of stem, ASPP and decoder; None for those that gin binds.
      budget: makes the budget of the genotypes, given `num_classes` and `sizes`; None for none.
      steps: of a training that is not stopped.
      candidates: genotypes to train.
      rungs: parts of a training.
      share: of the genotypes that go on.
      keep: how many of the best are returned.
      class_balanced_loss: weigh pixels by median frequency / frequency of their class.
      norm_momentum: of the moving statistics of batch norms.
      optimizer: makes the optimizer of a training, given `total_steps`.

    Returns:
      genotype (path of the best one's file), path, cell, miou, loss (its last), decision, best (the
      `keep` best of those that reached the end, each with its scores), weight_steps (of all),
      seconds (of this run), model_dir.

    Raises:
      ValueError, FileNotFoundError: bad configuration or data set, or no genotype within the
        budget.
    """
    started = time.time()
    data, space = data or RunData(), space or configured_space()
    sizes = sizes or configured_sizes()
    configure_runtime()
    check_single_device()
    if steps < rungs:
        raise ValueError(f"run_random_search.steps = {steps}: give at least one for each rung.")
    with deterministic_ops(data.deterministic), data.open():
        limit = budget and budget(num_classes=data.num_classes, sizes=sizes)
        class_weights = data.class_weights() if class_balanced_loss else None
        with exclusive(model_dir):
            fields = {**dataclasses.asdict(space), "num_classes": data.num_classes}
            settings = {
                **data.schedule(steps),
                **({"budget": limit.to_dict()} if limit else {}),
                "rungs": rungs,
                "share": share,
                "crop_size": data.crop_size,
                "class_balanced_loss": class_balanced_loss,
                "norm_momentum": norm_momentum,
            }
            claim(
                model_dir,
                {SPACE_FILE: {**fields, "sizes": sizes.to_dict()}, SCHEDULE_FILE: settings},
            )
            path = os.path.join(model_dir, RANKING_FILE)
            known, trials = _read_trials(path), []
            say(
                f"{'Resuming in' if known else 'Writing to'} {model_dir} ({len(known)} of "
                f"{candidates} genotypes)."
            )
            progress = Progress(candidates * steps, len(known) * steps)
            try:
                for genotype in _draw(space, data.seed, limit, candidates):
                    if genotype in known:
                        trials.append(known[genotype])
                        continue
                    began = time.monotonic()
                    network = NetworkDescription(
                        network=DECODED,
                        num_classes=data.num_classes,
                        genotype=genotype,
                        filter_multiplier=space.filter_multiplier,
                        sizes=sizes,
                    )
                    with seeded(data.seed):
                        model = TrainingModel(_build(network, norm_momentum), class_weights)
                        model.compile(optimizer(total_steps=steps))
                        model.build((None, *data.crop_size, 3))
                        write_config(model_dir)
                        trial = _train(model, genotype, data, steps, rungs, share, trials, progress)
                    trials.append(trial)
                    known[genotype] = trial  # Small spaces have it drawn again.
                    seconds = round(time.monotonic() - began, 3)
                    line = {"key": str(genotype), **_to_dict(trial), "seconds": seconds}
                    append_json_line(path, line)
                    del model
                    tf.keras.backend.clear_session()
                    gc.collect()
            finally:
                progress.close()
            return _report(model_dir, trials, steps, rungs, keep, started)


def _build(description: NetworkDescription, norm_momentum: float) -> tf.keras.Model:
    network = build_network(description)
    set_norm_momentum(network, norm_momentum)
    freeze_pooled_norms(network)  # Of a few images they would be noise.
    return network


def _train(
    model: TrainingModel,
    genotype: Genotype,
    data: RunData,
    steps: int,
    rungs: int,
    share: float,
    trials: Sequence[Trial],
    progress: Progress,
) -> Trial:
    """Trains until the last rung, or until it falls behind."""
    mious: List[float] = []
    losses: List[float] = []
    ends = [round(steps * (rung + 1) / rungs) for rung in range(rungs)]
    text = f"genotype {len(trials) + 1}, "
    ends_reached = [trial.mious[-1] for trial in trials if len(trial.mious) == rungs]
    if ends_reached:
        text += f"best miou {max(ends_reached):.3f}, "
    done, counter = 0, _Steps(progress, text)
    for rung, end in enumerate(ends):
        history = model.fit(
            data.training_stream(int(model.positions[0].numpy())),
            steps_per_epoch=end - done,
            epochs=1,
            verbose=0,
            callbacks=[counter],
        ).history
        done = end
        mious.append(float(history["miou"][-1]))
        losses.append(float(history["loss"][-1]))
        there = [trial.mious[rung] for trial in trials if len(trial.mious) > rung]
        finite = np.isfinite(losses[-1])
        if rung + 1 < rungs and not (finite and goes_on(mious[-1], there, share)):
            break
    progress.line(
        f"genotype {len(trials) + 1}: miou "
        + " ".join(f"{miou:.3f}" for miou in mious)
        + ("" if len(mious) == rungs else ", stopped")
    )
    progress.advance(steps - done)
    return Trial(genotype, tuple(mious), tuple(losses), counter.seconds_per_step)


class _Steps(StepTimes):
    """Moves the progress bar as well."""

    def __init__(self, progress: Progress, text: str):
        super().__init__()
        self._progress, self._text = progress, text

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        self._progress.advance(1, f"{self._text}loss {logs['loss']:.3f} miou {logs['miou']:.3f}")


def _draw(space: SearchSpace, seed: int, limit: Optional[Budget], count: int) -> List[Genotype]:
    """The genotypes of a search, always the same."""
    random = np.random.default_rng([seed, 1])
    if limit is None:
        return [sample_genotype(space, random) for _ in range(count)]
    draws = sample_within(space, random, limit.cost, limit.wanted, limit.tolerance)
    return [next(draws) for _ in range(count)]


def _to_dict(trial: Trial) -> Dict[str, Any]:
    return {
        "genotype": trial.genotype.to_dict(),
        "mious": list(trial.mious),
        "losses": list(trial.losses),
        "seconds_per_step": trial.seconds_per_step,
    }


def _read_trials(path: str) -> Dict[Genotype, Trial]:
    trials = {}
    for line in read_json_lines(path, key="key").values():
        try:
            genotype = Genotype(**line["genotype"])
            mious, losses = ([float(x) for x in line[name]] for name in ("mious", "losses"))
            if not mious or len(mious) != len(losses):
                raise ValueError("not as many mious as losses")
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path}: the line of {line['key']!r} is damaged ({error}); remove the file, and "
                "the genotypes are trained again."
            ) from error
        trials[genotype] = Trial(genotype, mious, losses, line.get("seconds_per_step", 0.0))
    return trials


def _report(
    model_dir: str, trials: Sequence[Trial], steps: int, rungs: int, keep: int, started: float
) -> Dict[str, Any]:
    """Writes what was found, see `run_random_search`."""
    finished = [
        trial for trial in trials if len(trial.mious) == rungs and np.isfinite(trial.losses[-1])
    ]
    if not finished:
        raise ValueError(
            f"{model_dir}: no genotype was trained to the end with a finite loss: lower the rate "
            f"of the optimizer, remove {RANKING_FILE} there and run the same command."
        )
    finished.sort(key=lambda trial: -trial.mious[-1])
    best = finished[0]
    first = np.array([trial.mious[0] for trial in trials])
    decision = {
        "candidates": len(trials),
        "finished": len(finished),
        "first_rung_median": float(np.median(first)),
        "first_rung_deviation": float(first.std()),
        "first_rung_best": best.mious[0],
        "weightless_ops": weightless_share(best.genotype.cell),
    }
    remarks = [
        f"{len(trials)} random genotypes, {len(finished)} of them trained to the end; after the "
        f"first rung the best had a training mIoU of {best.mious[0]:.3f}, all "
        f"{np.median(first):.3f} +- {first.std():.3f}; at the end {best.mious[-1]:.3f}"
        + (f", the next one {finished[1].mious[-1]:.3f}" if finished[1:] else "")
        + f"; {decision['weightless_ops']:.0%} of its ops without parameters",
        "each was trained once, and another seed can change the order: adl_tf.study repeats",
        weightless_warning(decision["weightless_ops"], "train longer (STEPS)"),
    ]
    ranked = [(t.genotype, {"miou": t.mious[-1], "loss": t.losses[-1]}) for t in finished[:keep]]
    weight_steps = sum(round(steps * len(trial.mious) / rungs) for trial in trials)
    return {
        **write_ranked(model_dir, ranked, decision, remarks, weight_steps),
        "weight_steps": weight_steps,
        "seconds": round(time.time() - started, 1),
        "model_dir": model_dir,
    }
