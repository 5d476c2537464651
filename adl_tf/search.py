"""Searches an architecture on a data set, decodes it and draws it.

python -m adl_tf.search --gin_file=search.gin [--model_dir=DIR]

The same command again goes on where the last run stopped.
"""

import dataclasses
import gc
import os
import time
from typing import Any, Dict, Optional

from absl import flags

from adl_tf.configuration import define_gin_flags, parse_gin, run_program  # isort: skip

import gin
import tensorflow as tf

from adl_tf.data.reader import RecordReader
from adl_tf.decode import decode_model_dir
from adl_tf.models.supernet import Supernet
from adl_tf.space.decoding import decode
from adl_tf.space.search_space import SearchSpace, level_stride
from adl_tf.training import runtime
from adl_tf.training.alternating_model import AlternatingModel
from adl_tf.training.optimizers import architecture_optimizer, weight_optimizer
from adl_tf.training.progress import ProgressBar
from adl_tf.training.results import StopWhenNotFinite
from adl_tf.training.run import (
    check_devices,
    configured_stream,
    crop_sides,
    find_dataset,
    one_line_failures,
    require_positive,
    say,
    schedule,
    validation_stream,
    write_config,
)
from adl_tf.training.run_log import METRICS_FILE
from adl_tf.training.run_state import (
    SCHEDULE_FILE,
    RunState,
    claim_model_dir,
    read_json_lines,
)
from adl_tf.training.search_log import SPACE_FILE, SearchLog, record_architecture

# The module of the space knows nothing of gin.
_configured_space = gin.external_configurable(SearchSpace)


@gin.configurable
def search(
    model_dir: str,
    dataset_dir: str = gin.REQUIRED,
    crop_size: Any = gin.REQUIRED,
    batch_size: int = 2,
    epochs: int = 40,
    arch_start_epoch: int = 20,
    seed: int = 0,
    train_split: str = "train",
    val_split: str = "val",
    deterministic: bool = False,
    steps_per_epoch: Optional[int] = None,
    validation_steps: Optional[int] = None,
    checkpoint_steps: int = 200,
    num_classes: Optional[int] = None,
    max_bad_records: int = 0,
    cache_dir: Optional[str] = None,
    jit_compile: bool = False,
) -> Dict[str, Any]:
    """Runs a search to its end, or on from where it stopped.

    Args:
      model_dir: directory of everything that is written.
      dataset_dir: directory of TFRecords, or "synthetic".
      crop_size: side of the square crops, or (height, width), in pixels.
      batch_size: images per step, over all devices.
      epochs: passes over trainA.
      arch_start_epoch: passes before alpha and beta start to train.
      seed: of the split into trainA and trainB, the order, the augmentation, the
        initial weights.
      train_split: split to deal out into trainA and trainB.
      val_split: split to score.
      deterministic: the same run gives the same bits.
      steps_per_epoch: steps instead of a pass over trainA.
      validation_steps: images of the validation split to score; None for all.
      checkpoint_steps: steps between checkpoints inside an epoch.
      num_classes: for records without `dataset.json`.
      max_bad_records: bad records to skip before failing.
      cache_dir: where decoded examples are kept, see `RecordReader`.
      jit_compile: compile the steps with XLA.

    Returns:
      genotype (path of its file), val_miou, weight_steps, arch_steps, seconds (of this
      run), model_dir.

    Raises:
      ValueError, FileNotFoundError: bad configuration or data set.
    """
    start = time.time()
    runtime.configure(seed=seed, deterministic=deterministic, small_kernels=True)
    require_positive(
        batch_size=batch_size,
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        checkpoint_steps=checkpoint_steps,
    )
    crop_size = crop_sides(crop_size)
    space = _configured_space()
    directory = find_dataset(dataset_dir)
    cache_dir = cache_dir and os.path.expanduser(cache_dir)
    train_reader, val_reader = (
        RecordReader(directory, split, num_classes, max_bad_records, cache_dir)
        for split in (train_split, val_split)
    )
    steps = steps_per_epoch or len(train_reader.subset("A", seed)) // batch_size
    if not steps:
        raise ValueError(
            f"{directory}: half of its {train_reader.num_examples} training examples do not "
            f"fill a batch of {batch_size}; lower BATCH_SIZE."
        )
    if val_reader.largest_size is None:
        raise ValueError(
            f"{directory}: the supernet scores images of one size, but not all records of "
            f"{val_split!r} give image/height and image/width; convert them with data_prep."
        )
    strategy = runtime.strategy()
    check_devices(strategy, batch_size, jit_compile=jit_compile)
    claim_model_dir(
        model_dir,
        SPACE_FILE,
        {**dataclasses.asdict(space), "num_classes": train_reader.num_classes},
    )
    claim_model_dir(model_dir, SCHEDULE_FILE, schedule(train_reader, seed, batch_size, steps))

    with strategy.scope():
        supernet = Supernet(space, train_reader.num_classes)
        model = AlternatingModel(supernet)
        model.compile(
            weight_optimizer(total_steps=epochs * steps),
            architecture_optimizer(),
            jit_compile=jit_compile,
        )
        model.build((None, *crop_size, 3))
    state = RunState(
        model_dir,
        steps,
        checkpoint_steps,
        supernet=supernet,
        weight_optimizer=model.weight_optimizer,
        architecture_optimizer=model.architecture_optimizer,
        positions=model.positions,
    )
    resumed = state.restore()
    if not resumed:
        record_architecture(model_dir, 0, supernet.alpha.numpy(), supernet.beta.numpy())
    say(
        f"{'Going on in' if resumed else 'Writing to'} {model_dir} (epoch {state.epoch} of "
        f"{epochs}, step {state.step} of {steps}). Watch it: tensorboard --logdir {model_dir}"
    )

    def stream(half, position):
        return configured_stream(
            train_reader,
            batch_size=batch_size,
            crop_size=crop_size,
            seed=seed,
            subset=half,
            start_position=int(position.numpy()),
            deterministic=deterministic,
        )

    def best_path():
        genotype, _ = decode(space, supernet.alpha.numpy(), supernet.beta.numpy())
        return "path " + "-".join(str(level_stride(level)) for level in genotype.path)

    validation = validation_stream(val_reader, validation_steps, strategy.num_replicas_in_sync)
    with one_line_failures(train_reader, val_reader), state:
        callbacks = [
            StopWhenNotFinite(
                model_dir,
                model.weight_optimizer,
                "weight_optimizer.initial_rate or architecture_optimizer.rate",
            ),
            ProgressBar(note=best_path),
            SearchLog(
                model_dir,
                supernet,
                model.weight_optimizer,
                val_reader.description,
                validation.take(2),
            ),
            state,  # Last: what the others wrote belongs to the state that is saved.
        ]
        for first, last, fit_steps, alternating in _segments(
            state.epoch, state.step, epochs, steps, arch_start_epoch
        ):
            halves = "AB" if alternating else "A"
            streams = [stream(h, p) for h, p in zip(halves, model.positions)]
            # The graph of the last phase would take memory and never run again.
            model.train_function = None
            gc.collect()
            write_config(model_dir)  # Now that all that takes bindings was called.
            model.fit(
                tf.data.Dataset.zip(tuple(streams)),
                initial_epoch=first,
                epochs=last,
                steps_per_epoch=fit_steps,
                validation_data=validation,
                callbacks=callbacks,
                verbose=0,
            )
    metrics = read_json_lines(os.path.join(model_dir, METRICS_FILE), key="epoch")
    decoded = decode_model_dir(model_dir)
    return {
        "genotype": decoded["genotype"],
        "path": decoded["path"],
        "val_miou": metrics[max(metrics)]["val_miou"] if metrics else None,
        "weight_steps": int(model.weight_optimizer.iterations.numpy()),
        "arch_steps": int(model.architecture_optimizer.iterations.numpy()),
        "seconds": round(time.time() - start, 1),
        "model_dir": model_dir,
    }


def _segments(epoch: int, step: int, epochs: int, steps: int, arch_start_epoch: int):
    """Cuts what is left of a run into calls of `fit`.

    Returns:
      A list of (first epoch, epoch to stop before, steps per epoch, alternating): the
      rest of an epoch that was begun, epochs of weights alone, alternating epochs.
    """
    segments = []
    if step and epoch < epochs:
        segments.append((epoch, epoch + 1, steps - step, epoch >= arch_start_epoch))
        epoch += 1
    middle = min(max(epoch, arch_start_epoch), epochs)
    if epoch < middle:
        segments.append((epoch, middle, steps, False))
    if middle < epochs:
        segments.append((middle, epochs, steps, True))
    return segments


def main() -> Dict[str, Any]:
    """Runs the program on its flags."""
    parse_gin(flags.FLAGS.gin_file, flags.FLAGS.gin_param)
    return search(os.path.expanduser(flags.FLAGS.model_dir))


if __name__ == "__main__":
    define_gin_flags()
    flags.DEFINE_string("model_dir", os.path.join("runs", "search"), "Directory of the run.")
    run_program(main)
