"""Short trainings that compare candidates: all see the same images, and the worst stop early."""

import functools
import gc
import math
import os
import shutil
import time
from typing import Any, Callable, Dict, List, NamedTuple, Sequence, Tuple

import gin
import tensorflow as tf

from adl_tf.distribution.strategy import check_devices, distribute
from adl_tf.layers.variables import of_one_name
from adl_tf.model_directory import (
    CANDIDATES_FOLDER,
    RANKING_FILE,
    append_json_line,
    read_json_lines,
)
from adl_tf.models.aspp import freeze_pooled_norms, set_norm_momentum
from adl_tf.models.registry import DECODED, NetworkDescription, build_network
from adl_tf.runs.data import RunData
from adl_tf.runs.phases import plan_phases
from adl_tf.runs.run import Run, write_config
from adl_tf.searches.halving import lowest, rounds, surviving, survivors
from adl_tf.space.genotype import Genotype
from adl_tf.space.network_sizes import NetworkSizes
from adl_tf.system.progress import Progress
from adl_tf.system.settings import Count, PartialShare, SomeShare, configurable
from adl_tf.training.callbacks.step_times import StepTimes
from adl_tf.training.checkpointing import Checkpointing, Diverged
from adl_tf.training.devices import graphs_as_written, seeded
from adl_tf.training.optimizers import Optimizer, training_optimizer
from adl_tf.training.training_model import TrainingModel

# What it takes to start a candidate, in steps: building the graph of a small network.
START = 20


class Candidate(NamedTuple):
    """A network to try.

    Attributes:
      arm: where it comes from, such as "random".
      genotype: its architecture.
      filter_multiplier: F.
      sizes: filters of stem, ASPP and decoder.
    """

    arm: str
    genotype: Genotype
    filter_multiplier: int
    sizes: NetworkSizes


class Trial(NamedTuple):
    """The result of a candidate's training.

    Attributes:
      candidate: what was trained.
      losses: mean training loss over the steps of each rung that it reached; infinite for one that
        diverged.
      miou: on the training crops of its last rung.
      seconds_per_step: median.
    """

    candidate: Candidate
    losses: Tuple[float, ...]
    miou: float
    seconds_per_step: float

    def fields(self) -> Dict[str, Any]:
        """The network's fields beside its genotype, as JSON holds them."""
        candidate = self.candidate
        return {
            "filter_multiplier": candidate.filter_multiplier,
            "sizes": candidate.sizes.to_dict(),
            "arm": candidate.arm,
            "loss": self.losses[-1],
            "miou": self.miou,
        }

    def sentence(self) -> str:
        """Which network it is, for people."""
        return (
            f"found: a {self.candidate.arm} network, F = {self.candidate.filter_multiplier}; "
            f"training loss {self.losses[-1]:.3f} in rung {len(self.losses)}"
        )


@configurable
class Trials:
    """Trains candidates by successive halving (https://arxiv.org/abs/1502.07943).

    A training has rungs of equally many steps. All candidates are trained to the end of the first
    rung, the best `share` of them to the end of the next, and so on, until one is left. All see the
    same images in the same order, and start from the same seed. They are judged by their mean
    training loss over the steps of the rung, which is far more reliable than a score on a few
    validation images (benchmarks/RESULTS.md).

    Args:
      steps: steps of a training that reaches the last rung.
      rungs: parts of a training.
      share: share of the candidates that go on after each rung.
      class_balanced_loss: weigh pixels by median frequency / frequency of their class.
      norm_momentum: momentum of the moving statistics of batch norms.
      optimizer: makes the optimizer of a training, given `total_steps`.

    Raises:
      ValueError: fewer steps than rungs.
    """

    def __init__(
        self,
        steps: Count = gin.REQUIRED,
        rungs: Count = 3,
        share: SomeShare = 0.33,
        class_balanced_loss: bool = False,
        norm_momentum: PartialShare = 0.97,
        optimizer: Callable[..., Optimizer] = training_optimizer,
    ):
        if steps < rungs:
            raise ValueError(f"Trials.steps = {steps}: give at least one for each rung.")
        self.rungs = rungs
        self.share = share
        self.rung_steps = steps // rungs
        self.class_balanced_loss = class_balanced_loss
        self.norm_momentum = norm_momentum
        self.optimizer = optimizer

    def settings(self) -> Dict[str, Any]:
        """Settings that a resumed run must not change, for `schedule.json`."""
        names = ("rungs", "share", "rung_steps", "class_balanced_loss", "norm_momentum")
        return {name: getattr(self, name) for name in names}

    def work(self, count: int) -> int:
        """Units of work of so many candidates: steps, and the start of each candidate."""
        trainings = sum(rounds(count, self.rungs, self.share))
        return trainings * self.rung_steps + count * START

    def run(
        self,
        run: Run,
        candidates: Sequence[Candidate],
        data: RunData,
        progress: Progress,
    ) -> List[Trial]:
        """Trains candidates. What `ranking.jsonl` has already is not trained again.

        Args:
          run: the search.
          candidates: always the same ones for one search.
          data: images; all of the training split is trained on.
          progress: counts `work`.

        Returns:
          a trial for each candidate, in their order.

        Raises:
          ValueError: no candidate has a finite loss, or a line of the ranking is damaged.
        """
        runner = _Runner(self, run, data, progress)
        candidates = [runner.as_begun(*numbered) for numbered in enumerate(candidates)]
        lines: List[List[Dict[str, Any]]] = [[] for _ in candidates]
        alive = list(range(len(candidates)))
        for rung in range(self.rungs):
            losses: Dict[int, float] = {}
            # After the last rung nothing goes on.
            places = surviving(len(alive), self.share) if rung + 1 < self.rungs else 0
            for index in alive:
                lines[index].append(runner.line(index, rung, candidates[index]))
                losses[index] = _loss(lines[index][-1])
                runner.keep_built(lowest(losses, places))
            if not any(map(math.isfinite, losses.values())):
                raise ValueError(
                    f"{run.model_dir}: no candidate has a finite loss: lower the rate of the "
                    f"optimizer, remove {RANKING_FILE} there and run the same command."
                )
            alive = survivors(losses, self.share)
            runner.keep(alive)
            if len(candidates) > len(alive) == 1:
                break
        runner.keep([])
        return [
            Trial(
                candidate,
                tuple(map(_loss, own)),
                own[-1]["miou"],
                float(own[-1]["seconds_per_step"]),
            )
            for candidate, own in zip(candidates, lines)
        ]


class _Runner:
    """The trainings of one search."""

    def __init__(self, settings: Trials, run: Run, data: RunData, progress: Progress):
        self._settings, self._run, self._data, self._progress = settings, run, data, progress
        self._weights = data.class_weights() if settings.class_balanced_loss else None
        self._path = os.path.join(run.own_dir, RANKING_FILE)
        self._known = _read_ranking(self._path)
        self._best = math.inf
        # Of candidates that may go on: a graph takes longer to build than many steps.
        self._built: Dict[int, Tuple[TrainingModel, Checkpointing]] = {}
        self._stream = functools.lru_cache(maxsize=None)(self._open_stream)

    def as_begun(self, index: int, candidate: Candidate) -> Candidate:
        """A candidate at the F with which its training began: where latencies were measured again,
        another would fill the budget."""
        line = self._known.get(f"{index}/0")
        if not line:
            return candidate
        sizes = NetworkSizes(**line["sizes"])
        return candidate._replace(filter_multiplier=line["filter_multiplier"], sizes=sizes)

    def line(self, index: int, rung: int, candidate: Candidate) -> Dict[str, Any]:
        """The line of a candidate's rung, trained unless it is known."""
        key = f"{index}/{rung}"
        if key not in self._known:
            self._known[key] = {
                "key": key,
                "arm": candidate.arm,
                "genotype": candidate.genotype.to_dict(),
                "filter_multiplier": candidate.filter_multiplier,
                "sizes": candidate.sizes.to_dict(),
                **self._train(index, rung, candidate),
            }
            append_json_line(self._path, self._known[key])
        else:
            self._progress.advance(self._settings.rung_steps + (0 if rung else START))
        line = self._known[key]
        if rung + 1 == self._settings.rungs:
            self._best = min(self._best, _loss(line))
        return line

    def keep_built(self, indices: Sequence[int]) -> None:
        """Frees the memory of all networks but some."""
        for index in set(self._built) - set(indices):
            del self._built[index]
        tf.keras.backend.clear_session()
        gc.collect()

    def keep(self, alive: Sequence[int]) -> None:
        """Removes the states of all candidates but some."""
        self.keep_built(alive)
        folder = os.path.join(self._run.own_dir, CANDIDATES_FOLDER)
        names = {_name(index) for index in alive}
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            if name not in names:
                shutil.rmtree(os.path.join(folder, name))
        if not alive:
            shutil.rmtree(folder, ignore_errors=True)

    def _train(self, index: int, rung: int, candidate: Candidate) -> Dict[str, Any]:
        """Trains to the end of a rung, from where an earlier one ended."""
        began = time.monotonic()
        with seeded(self._data.seed), graphs_as_written():
            if index not in self._built:
                self._built[index] = self._build(index, candidate)
            model, checkpointing = self._built[index]
            write_config(self._run.own_dir)
            best = f"best loss {self._best:.3f}, " if math.isfinite(self._best) else ""
            counter = _Steps(self._progress, f"rung {rung + 1}, network {index + 1}, {best}")
            self._progress.advance(0 if rung else START)
            try:
                with checkpointing:
                    self._fit(model, rung, counter, checkpointing)
                # Those of the rung, also where it had ended before.
                loss, miou = (float(metric.result()) for metric in model.metrics)
            except Diverged:
                loss, miou = math.inf, 0.0
        self._progress.line(
            f"rung {rung + 1}: {candidate.arm} network {index + 1}: loss {loss:.4f} miou {miou:.3f}"
        )
        seconds = counter.seconds_per_step
        return {
            "loss": loss if math.isfinite(loss) else None,
            "miou": miou,
            "seconds_per_step": seconds if math.isfinite(seconds) else 0.0,
            "seconds": round(time.monotonic() - began, 3),
        }

    def _build(self, index: int, candidate: Candidate) -> Tuple[TrainingModel, Checkpointing]:
        """The model of a candidate, in the state that its last rung left."""
        with self._run.strategy.scope(), of_one_name("candidate"):
            model = self._build_model(candidate)
        place = os.path.join(CANDIDATES_FOLDER, _name(index))
        os.makedirs(os.path.join(self._run.own_dir, place), exist_ok=True)
        checkpointing = Checkpointing(
            os.path.join(self._run.own_dir, place),
            self._settings.rung_steps,
            self._settings.rung_steps,
            self._run.workers,
            os.path.join(self._run.model_dir, place),
            metrics=model.metrics,
            network=model.network,
            optimizer=model.optimizer,
            positions=model.positions,
        )
        checkpointing.restore()
        return model, checkpointing

    def _build_model(self, candidate: Candidate) -> TrainingModel:
        settings, data = self._settings, self._data
        network = build_network(
            NetworkDescription(
                DECODED,
                data.num_classes,
                candidate.genotype,
                candidate.filter_multiplier,
                sizes=candidate.sizes,
            )
        )
        set_norm_momentum(network, settings.norm_momentum)
        freeze_pooled_norms(network)  # Of a few images they would be noise.
        model = TrainingModel(network, self._weights)
        check_devices(self._run.strategy, data.batch_size, model.accumulation_steps)
        model.compile(settings.optimizer(total_steps=settings.rungs * settings.rung_steps))
        model.build((None, *data.crop_size, 3))
        return model

    def _fit(self, model, rung, counter, checkpointing) -> None:
        steps = self._settings.rung_steps
        total = (rung + 1) * steps
        for phase in plan_phases(total, steps, checkpointing.epoch, checkpointing.step):
            model.fit(
                self._stream(int(model.positions[0].numpy())),
                initial_epoch=phase.first_epoch,
                epochs=phase.end_epoch,
                steps_per_epoch=phase.steps,
                verbose=0,
                callbacks=[counter, checkpointing],
            )

    def _open_stream(self, position: int) -> Any:
        """The images from a position on, the same for all candidates."""
        stream = functools.partial(self._data.training_stream, position, None)
        return distribute(self._run.strategy, stream)


class _Steps(StepTimes):
    """Moves the progress bar as well."""

    def __init__(self, progress: Progress, text: str):
        super().__init__()
        self._progress, self._text = progress, text

    def on_train_batch_end(self, batch, logs=None):
        super().on_train_batch_end(batch, logs)
        self._progress.advance(1, f"{self._text}loss {logs['loss']:.3f}")


def _name(index: int) -> str:
    return f"{index:03d}"


def _loss(line: Dict[str, Any]) -> float:
    return math.inf if line["loss"] is None else line["loss"]


def _read_ranking(path: str) -> Dict[str, Dict[str, Any]]:
    lines = read_json_lines(path, key="key")
    for line in lines.values():
        numbers = [line.get("miou"), line.get("seconds_per_step"), line.get("loss", "")]
        if not all(isinstance(n, (int, float)) for n in numbers[:2]) or not (
            numbers[2] is None or isinstance(numbers[2], float)
        ):
            raise ValueError(
                f"{path}: the line of {line['key']!r} is damaged; remove the file, and the "
                "candidates are trained again."
            )
    return lines


def winner(trials: Sequence[Trial]) -> Trial:
    """The best of those that reached the last rung."""
    longest = max(len(trial.losses) for trial in trials)
    finished = [trial for trial in trials if len(trial.losses) == longest]
    return min(finished, key=lambda trial: trial.losses[-1])
