"""A search by sampled paths: shared weights, trained one genotype at a time, rank candidates."""

import dataclasses
import functools
import os
import time
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import gin
import numpy as np
import tensorflow as tf

from adl_tf.configuration import configured_sizes, configured_space
from adl_tf.distribution.strategy import check_single_device
from adl_tf.evaluation.ranking_decision import measure_ranking
from adl_tf.files import exclusive
from adl_tf.model_directory import (
    RANKING_FILE,
    SCHEDULE_FILE,
    SPACE_FILE,
    append_json_line,
    read_json_lines,
)
from adl_tf.models.shared_network import SharedNetwork, recalibrated
from adl_tf.progress import Progress
from adl_tf.runs.batch_scores import score_batches
from adl_tf.runs.data import RunData
from adl_tf.runs.phases import Phase, plan_phases
from adl_tf.runs.progress_bar import ProgressBar
from adl_tf.runs.run import claim, fit_phases, start_or_resume
from adl_tf.runs.search_result import write_ranked
from adl_tf.settings import Count, PartialShare, Share, configurable
from adl_tf.space.budget import Budget
from adl_tf.space.evolution import count_random, evolve
from adl_tf.space.genotype import Genotype
from adl_tf.space.network_sizes import NetworkSizes
from adl_tf.space.search_space import SearchSpace
from adl_tf.training.callbacks.metrics_log import MetricsLog
from adl_tf.training.checkpointing import Checkpointing
from adl_tf.training.devices import (
    configure_runtime,
    deterministic_ops,
    seeded,
)
from adl_tf.training.optimizers import Optimizer, weight_optimizer
from adl_tf.training.sampled_model import SampledModel

# What a candidate takes, in training steps: measured on small networks.
_CANDIDATE = 8


@configurable
def run_sampled_search(
    model_dir: str,
    data: Optional[RunData] = None,
    space: Optional[SearchSpace] = None,
    sizes: Optional[NetworkSizes] = None,
    budget: Optional[Callable[..., Budget]] = None,
    steps: Count = gin.REQUIRED,
    candidates: Count = 100,
    random_share: Share = 0.5,
    keep: Count = 5,
    checkpoint_steps: Count = 100,
    class_balanced_loss: bool = False,
    norm_momentum: PartialShare = 0.97,
    share_edges: bool = True,
    weight_optimizer: Callable[..., Optimizer] = weight_optimizer,
) -> Dict[str, Any]:
    """Trains shared weights one genotype at a time, then ranks genotypes with them.

    Random search with weight sharing (https://arxiv.org/abs/1902.07638), here with genotypes that
    are fair over the ops, and with candidates that evolve. Each step draws a genotype and trains
    its layers on trainA. Then candidates are scored by their loss on trainB with the weights that
    they inherit, see `Ranker`; the loss ranks better than mIoU does (benchmarks/RESULTS.md). The
    same command resumes either.

    Args:
      model_dir: directory of everything that is written.
      data: images; None for those that gin binds.
      space: what is searched; None for the one that gin binds.
      sizes: of stem, ASPP and decoder; None for those that gin binds.
      budget: makes the budget of the candidates, given `num_classes` and `sizes`; None for none.
      steps: training steps.
      candidates: genotypes to score.
      random_share: share of them that is random; the others are mutants of the best.
      keep: how many of the best are returned.
      checkpoint_steps: steps between checkpoints.
      class_balanced_loss: weigh pixels by median frequency / frequency of their class.
      norm_momentum: of the moving statistics of batch norms.
      share_edges: see `SharedNetwork`.
      weight_optimizer: makes the weights' optimizer, given `total_steps`.

    Returns:
      genotype (path of the best one's file), path, cell, loss, miou (its scores on trainB),
      decision (see `RankingDecision`), best (the `keep` best, each with its scores), weight_steps,
      seconds (of this run), model_dir.

    Raises:
      ValueError, FileNotFoundError: bad configuration or data set.
    """
    started = time.time()
    data, space = data or RunData(), space or configured_space()
    sizes = sizes or configured_sizes()
    configure_runtime()
    check_single_device()
    with seeded(data.seed), deterministic_ops(data.deterministic), data.open():
        limit = budget and budget(num_classes=data.num_classes, sizes=sizes)
        class_weights = data.class_weights() if class_balanced_loss else None
        network = SharedNetwork(
            space, data.num_classes, sizes, norm_momentum, data.seed, share_edges
        )
        model = SampledModel(network, class_weights, data.seed)
        model.compile(weight_optimizer(total_steps=steps))
        model.build((None, *data.crop_size, 3))
        with exclusive(model_dir):
            space_fields = {
                **dataclasses.asdict(space),
                "num_classes": data.num_classes,
                "sizes": sizes.to_dict(),
                "share_edges": share_edges,
            }
            settings = {"budget": limit.to_dict()} if limit else {}
            schedule = {**data.schedule(steps), **settings}
            claim(model_dir, {SPACE_FILE: space_fields, SCHEDULE_FILE: schedule})
            checkpointing, plan = _start(model_dir, model, steps, checkpoint_steps)
            phases = plan(checkpointing.epoch, checkpointing.step)
            with ProgressBar(plan(), phases, later=candidates * _CANDIDATE) as bar:
                _train(model_dir, model, data, phases, bar, checkpointing)
                ranker = Ranker(model_dir, network, data, class_weights, bar.progress)
                scores = evolve(
                    space,
                    lambda genotype: -ranker.score(genotype)["loss"],
                    np.random.default_rng([data.seed, 1]),
                    candidates,
                    limit.met_by if limit else lambda genotype: True,
                    random_share,
                )
            best = sorted(scores, key=lambda genotype: -scores[genotype])[:keep]
            lines = [{name: ranker.score(g)[name] for name in ("loss", "miou")} for g in best]
            losses = [ranker.score(genotype)["losses"] for genotype in scores]
            decision = measure_ranking(losses, count_random(candidates, random_share), best[0])
            remarks = decision.summary(), decision.warning()
            weight_steps, ranked = int(model.optimizer.iterations), list(zip(best, lines))
            return {
                **write_ranked(model_dir, ranked, decision.numbers(), remarks, weight_steps),
                "weight_steps": weight_steps,
                "seconds": round(time.time() - started, 1),
                "model_dir": model_dir,
            }


def _start(
    model_dir: str, model: SampledModel, steps: int, checkpoint_steps: int
) -> Tuple[Checkpointing, Callable[..., List[Phase]]]:
    """Restores the training, if there is one; also the plan of its phases."""
    epoch_steps = min(steps, checkpoint_steps)
    checkpointing = Checkpointing(
        model_dir,
        epoch_steps,
        epoch_steps,
        rates="weight_optimizer.initial_rate",
        metrics=model.metrics,
        network=model.network,
        optimizer=model.optimizer,
        positions=model.positions,
    )
    start_or_resume(
        model_dir, checkpointing, lambda: f"step {int(model.optimizer.iterations)} of {steps}"
    )
    model.catch_up()
    return checkpointing, functools.partial(plan_phases, steps, epoch_steps)


def _train(
    model_dir: str,
    model: SampledModel,
    data: RunData,
    phases: Sequence[Phase],
    bar: ProgressBar,
    checkpointing: Checkpointing,
) -> None:
    """Trains to the last step."""
    log = MetricsLog(model_dir, model.network, model.optimizer, data.val_reader.description, [])
    with checkpointing:
        fit_phases(
            model_dir,
            model,
            phases,
            lambda _: data.training_stream(int(model.positions[0].numpy()), "A"),
            None,
            [bar],
            [log, checkpointing],
        )


@configurable
class Ranker:
    """Scores genotypes with the weights that they inherit, on trainB.

    The batch norms of each are recalibrated on trainA first. All see the same crops. What
    `ranking.jsonl` has already is not computed again.

    Args:
      model_dir: gets `ranking.jsonl`.
      network: trained shared weights.
      data: images.
      class_weights: of the loss.
      progress: shows how far it is; None for nowhere.
      calibration_batches: batches of trainA for the statistics.
      batches: batches of trainB to score.
    """

    def __init__(
        self,
        model_dir: str,
        network: SharedNetwork,
        data: RunData,
        class_weights: Optional[np.ndarray] = None,
        progress: Optional[Progress] = None,
        calibration_batches: Count = 4,
        batches: Count = 12,
    ):
        self._path = os.path.join(model_dir, RANKING_FILE)
        self._network = network
        self._class_weights = class_weights
        self._progress = progress
        self._known = read_json_lines(self._path, key="key")
        for line in self._known.values():
            losses = line.get("losses")
            numbers = [line.get("loss"), line.get("miou"), *(losses if losses else [None])]
            if not all(isinstance(number, float) for number in numbers):
                raise ValueError(
                    f"{self._path}: the line of {line['key']!r} is damaged; remove the file, and "
                    "the candidates are scored again."
                )
        self._calibration = _first_batches(data, "A", calibration_batches)
        self._batches = _first_batches(data, "B", batches)

    def score(self, genotype: Genotype) -> Dict[str, Any]:
        """key, genotype, miou, loss and losses (of each batch) of a genotype."""
        key = str(genotype)
        if key not in self._known:
            images = [batch["image"] for batch in self._calibration]
            began = time.monotonic()
            with recalibrated(self._network, genotype, images):
                scores = self.measure(genotype)
            seconds = round(time.monotonic() - began, 3)
            line = {"key": key, "genotype": genotype.to_dict(), **scores, "seconds": seconds}
            append_json_line(self._path, line)
            self._known[key] = line
            if self._progress:
                best = min(line["loss"] for line in self._known.values())
                text = f"candidate {len(self._known)}: loss {line['loss']:.4f}, best {best:.4f}"
                self._progress.advance(_CANDIDATE, text)
        return self._known[key]

    def measure(self, genotype: Genotype) -> Dict[str, Any]:
        """miou, loss and losses (of each batch) with the batch norms as they are."""
        network = self._network
        score = score_batches(
            lambda images: network.compute(images, genotype, training=False),
            self._batches,
            network.num_classes,
            self._class_weights,
        )
        return {"miou": score.miou, "loss": score.loss, "losses": list(score.losses)}


def _first_batches(data: RunData, subset: str, count: int) -> List[Dict[str, tf.Tensor]]:
    return list(data.training_stream(0, subset).take(count))
