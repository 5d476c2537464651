"""A search by sampled paths: shared weights, trained one genotype at a time, rank candidates."""

import dataclasses
import os
import time
from typing import Any, Dict, List, Optional, Sequence

import gin
import numpy as np
import tensorflow as tf
from tqdm import tqdm

from adl_tf.configuration import configured_sizes, configured_space, say
from adl_tf.evaluation.metrics import count_pixels, mean_iou
from adl_tf.model_directory import (
    GENOTYPE_FILE,
    RANKING_FILE,
    SCHEDULE_FILE,
    SPACE_FILE,
    append_json_line,
    claim_model_dir,
    read_json_lines,
)
from adl_tf.models.shared_network import SharedNetwork, recalibrated
from adl_tf.runs.checks import require_positive
from adl_tf.runs.data import RunData
from adl_tf.space.fair_sampling import FairSampler
from adl_tf.space.genotype import Genotype, save_genotype
from adl_tf.space.network_sizes import NetworkSizes
from adl_tf.space.sampling import sample_genotype
from adl_tf.space.search_space import SearchSpace
from adl_tf.training.devices import configure_runtime, seeded
from adl_tf.training.losses import segmentation_loss
from adl_tf.training.optimizers import weight_optimizer


@gin.configurable
def run_sampled_search(
    model_dir: str,
    data: Optional[RunData] = None,
    space: Optional[SearchSpace] = None,
    sizes: Optional[NetworkSizes] = None,
    steps: int = gin.REQUIRED,
    candidates: int = 100,
    keep: int = 5,
    checkpoint_steps: int = 200,
    weight_decay: float = 4e-5,
    norm_momentum: float = 0.97,
) -> Dict[str, Any]:
    """Trains shared weights one genotype at a time, then ranks random genotypes with them.

    Random search with weight sharing (https://arxiv.org/abs/1902.07638). Each step draws a
    genotype, fairly over the ops, and trains its layers on trainA; candidates are scored on trainB
    with the weights that they inherit, see `rank_genotypes`.

    Args:
      model_dir: directory of everything that is written.
      data: images; None for those that gin binds.
      space: what is searched; None for the one that gin binds.
      sizes: of stem, ASPP and decoder; None for those that gin binds.
      steps: training steps.
      candidates: random genotypes to score.
      keep: how many of the best are returned.
      checkpoint_steps: steps between checkpoints.
      weight_decay: L2 coefficient of the weights.
      norm_momentum: of the moving statistics of batch norms.

    Returns:
      genotype (path of the best one's file), best (the `keep` best, as lines of ranking.jsonl),
      steps, seconds (of this run), model_dir.

    Raises:
      ValueError, FileNotFoundError: bad configuration or data set.
    """
    started = time.time()
    data, space = data or RunData(), space or configured_space()
    sizes = sizes or configured_sizes()
    require_positive(steps=steps, candidates=candidates, keep=keep)
    configure_runtime()
    with seeded(data.seed), data.open():
        content = {
            **dataclasses.asdict(space),
            "num_classes": data.num_classes,
            "sizes": sizes.to_dict(),
        }
        claim_model_dir(model_dir, SPACE_FILE, content)
        claim_model_dir(model_dir, SCHEDULE_FILE, {**data.schedule(steps), "steps": steps})
        network = SharedNetwork(space, data.num_classes, sizes, norm_momentum)
        _train(model_dir, network, data, steps, checkpoint_steps, weight_decay)
        random = np.random.default_rng([data.seed, 1])
        genotypes = [sample_genotype(space, random) for _ in range(candidates)]
        lines = rank_genotypes(model_dir, network, data, genotypes)
    best = sorted(lines, key=lambda line: -line["miou"])[:keep]
    file = os.path.join(model_dir, GENOTYPE_FILE)
    save_genotype(Genotype(**best[0]["genotype"]), file, miou=best[0]["miou"])
    return {
        "genotype": file,
        "best": best,
        "steps": steps,
        "seconds": round(time.time() - started, 1),
        "model_dir": model_dir,
    }


def _train(
    model_dir: str,
    network: SharedNetwork,
    data: RunData,
    steps: int,
    checkpoint_steps: int,
    weight_decay: float,
) -> None:
    """Trains to the last step, or on from the newest checkpoint."""
    optimizer = weight_optimizer(total_steps=steps)
    done = tf.Variable(0, dtype=tf.int64)
    checkpoint = tf.train.Checkpoint(network=network, optimizer=optimizer, done=done)
    manager = tf.train.CheckpointManager(checkpoint, model_dir, max_to_keep=2)
    if manager.latest_checkpoint:
        # Layers that are not made yet get their values when they are.
        checkpoint.restore(manager.latest_checkpoint)
    first = int(done)
    say(f"{'Resuming in' if first else 'Writing to'} {model_dir} (step {first} of {steps}).")
    sampler = FairSampler(network.space, data.seed)
    for _ in range(first):
        sampler.draw()
    stream = iter(data.training_stream(first * data.batch_size, "A"))
    bar = tqdm(range(first, steps), initial=first, total=steps, mininterval=0.5)
    mean = None
    for step in bar:
        batch, genotype = next(stream), sampler.draw()
        with tf.GradientTape() as tape:
            logits = network.compute(batch["image"], genotype, training=True)
            loss = segmentation_loss(batch["label"], logits)
        variables = network.used_variables()
        gradients = tape.gradient(loss, variables)
        gradients = [g + weight_decay * v for g, v in zip(gradients, variables)]
        optimizer.apply_gradients(zip(gradients, variables))
        done.assign(step + 1)
        value = float(loss)
        if not np.isfinite(value):
            raise ValueError(
                f"the loss is not finite at step {step}; lower weight_optimizer.initial_rate. The "
                f"last checkpoint in {model_dir} is kept."
            )
        mean = value if mean is None else 0.98 * mean + 0.02 * value
        bar.set_postfix(loss=f"{mean:.3f}", layers=len(network.shared))
        if (step + 1) % checkpoint_steps == 0 or step + 1 == steps:
            manager.save(checkpoint_number=step + 1)


def rank_genotypes(
    model_dir: str,
    network: SharedNetwork,
    data: RunData,
    genotypes: Sequence[Genotype],
    calibration_batches: int = 8,
    batches: int = 16,
) -> List[Dict[str, Any]]:
    """Scores genotypes with the weights that they inherit.

    The batch norms of each are recalibrated on trainA first; all see the same crops of trainB.
    Scores that `ranking.jsonl` has already are not computed again.

    Args:
      model_dir: gets `ranking.jsonl`.
      network: trained shared weights.
      data: images.
      genotypes: of the network's space.
      calibration_batches: batches of trainA for the statistics.
      batches: batches of trainB to score.

    Returns:
      a line for each genotype: genotype, miou (recalibrated), miou_before (with the statistics of
      the mixture), loss (recalibrated).
    """
    path = os.path.join(model_dir, RANKING_FILE)
    known = read_json_lines(path, key="key")
    calibration = _first_batches(data, "A", calibration_batches)
    scored = _first_batches(data, "B", batches)
    lines = []
    for genotype in tqdm(genotypes, desc="candidates"):
        key = str(genotype)
        if key not in known:
            before, _ = _score(network, genotype, scored)
            with recalibrated(network, genotype, [batch["image"] for batch in calibration]):
                miou, loss = _score(network, genotype, scored)
            line = {
                "key": key,
                "genotype": genotype.to_dict(),
                "miou": miou,
                "miou_before": before,
                "loss": loss,
            }
            append_json_line(path, line)
            known[key] = line
        lines.append(known[key])
    return lines


def _first_batches(data: RunData, subset: str, count: int) -> List[Dict[str, tf.Tensor]]:
    return list(data.training_stream(0, subset).take(count))


def _score(network: SharedNetwork, genotype: Genotype, batches):
    """(mean IoU, mean loss) over batches."""
    counts, losses = 0, []
    for batch in batches:
        logits = network.compute(batch["image"], genotype, training=False)
        losses.append(float(segmentation_loss(batch["label"], logits)))
        predictions = tf.argmax(logits, -1, tf.int32)
        counts = counts + count_pixels(batch["label"], predictions, network.num_classes)
    return mean_iou(counts.numpy()), float(np.mean(losses))
