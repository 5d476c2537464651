"""Trains the network of a genotype, or a baseline, from scratch or from another run.

python -m adl_tf.train --gin_file=train.gin --genotype=FILE-or-preset --model_dir=DIR
    [--init_from=MODEL_DIR]

The same command again goes on where the last run stopped.
"""

import os
import time
from typing import Any, Dict, List, Optional, Tuple

from absl import flags

from adl_tf.configuration import define_gin_flags, parse_gin, run_program  # isort: skip

import gin
import tensorflow as tf

from adl_tf.data.reader import RecordReader
from adl_tf.models.aspp import freeze_pooled_norms, set_norm_momentum
from adl_tf.models.network import (
    DECODED,
    NETWORK_FILE,
    NetworkDescription,
    build_network,
    initialize_from,
    network_file_content,
)
from adl_tf.space.genotype import load_genotype
from adl_tf.training import runtime
from adl_tf.training.drop_path import DropPathSchedule, HeadDropout
from adl_tf.training.losses import median_frequency_weights
from adl_tf.training.optimizers import training_optimizer
from adl_tf.training.progress import ProgressBar
from adl_tf.training.results import ResultWeights, StopWhenNotFinite
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
    write_run,
)
from adl_tf.training.run_log import METRICS_FILE, RunLog
from adl_tf.training.run_state import (
    SCHEDULE_FILE,
    RunState,
    claim_model_dir,
    read_json_lines,
)
from adl_tf.training.training_model import TrainingModel


@gin.configurable
def train(
    model_dir: str,
    genotype: Optional[str] = None,
    init_from: Optional[str] = None,
    dataset_dir: str = gin.REQUIRED,
    crop_size: Any = gin.REQUIRED,
    batch_size: int = gin.REQUIRED,
    steps: int = gin.REQUIRED,
    network: str = DECODED,
    filter_multiplier: int = 20,
    width: float = 1.0,
    seed: int = 0,
    train_split: str = "train",
    val_split: str = "val",
    validate_every: Optional[int] = None,
    validation_images: Optional[int] = None,
    checkpoint_steps: int = 200,
    class_balanced_loss: bool = False,
    batch_norm_momentum: float = 0.99,
    pooled_batch_norm: bool = True,
    precision: str = "float32",
    num_classes: Optional[int] = None,
    max_bad_records: int = 0,
    cache_dir: Optional[str] = None,
    deterministic: bool = False,
    jit_compile: bool = False,
) -> Dict[str, Any]:
    """Runs a training to its end, or on from where it stopped.

    Args:
      model_dir: directory of everything that is written.
      genotype: file or preset; of the decoded network only.
      init_from: model directory of another run whose best weights to start from; its number
        of classes may be another, then the classifier starts anew.
      dataset_dir: directory of TFRecords, or "synthetic".
      crop_size: side of the square crops, or (height, width), in pixels.
      batch_size: images per step, over all devices.
      steps: steps of the run.
      network: "decoded" or a baseline, see `NetworkDescription`.
      filter_multiplier: F of the decoded network.
      width: factor of the filters of a baseline's backbone.
      seed: of the order, the augmentation, the initial weights, the dropped paths.
      train_split: split to train on.
      val_split: split to score.
      validate_every: steps between validations; None for a pass over the training split.
      validation_images: how many of the split to score; None for all.
      checkpoint_steps: steps between checkpoints inside such an epoch.
      class_balanced_loss: weigh pixels by median frequency / frequency of their class.
      batch_norm_momentum: of the moving statistics.
      pooled_batch_norm: False leaves the one batch norm of the image pooling out, whose
        statistics would be noise with a few images per device.
      precision: "float32", "mixed_bfloat16" or "mixed_float16".
      num_classes: for records without `dataset.json`.
      max_bad_records: bad records to skip before failing.
      cache_dir: where decoded examples are kept, see `RecordReader`.
      deterministic: the same run gives the same bits.
      jit_compile: compile the steps with XLA.

    Returns:
      val_miou (of the last epoch), best_val_miou, steps, seconds (of this run), model_dir.

    Raises:
      ValueError, FileNotFoundError: bad configuration, data set or checkpoint.
    """
    start = time.time()
    runtime.configure(seed=seed, deterministic=deterministic)
    _set_precision(precision)
    require_positive(
        batch_size=batch_size,
        steps=steps,
        validate_every=validate_every,
        checkpoint_steps=checkpoint_steps,
    )
    crop_size = crop_sides(crop_size)
    directory = find_dataset(dataset_dir)
    cache_dir = cache_dir and os.path.expanduser(cache_dir)
    train_reader, val_reader = (
        RecordReader(directory, split, num_classes, max_bad_records, cache_dir)
        for split in (train_split, val_split)
    )
    description = NetworkDescription(
        network=network,
        num_classes=train_reader.num_classes,
        genotype=load_genotype(genotype) if genotype and network == DECODED else None,
        filter_multiplier=filter_multiplier,
        width=width,
    )
    if train_reader.num_examples < batch_size:
        raise ValueError(
            f"{directory}: {train_reader.num_examples} examples of {train_split!r} do not fill a "
            f"batch of {batch_size}; lower BATCH_SIZE."
        )
    epoch_steps = min(steps, validate_every or train_reader.num_examples // batch_size)
    class_weights = _class_weights(train_reader) if class_balanced_loss else None

    strategy = runtime.strategy()
    with strategy.scope():
        built = build_network(description)
        set_norm_momentum(built, batch_norm_momentum)
        if not pooled_batch_norm:
            freeze_pooled_norms(built)
        if init_from and not tf.train.latest_checkpoint(model_dir):
            # Before the optimizer's averages take their first values from the weights.
            initialize_from(built, description, init_from)
        model = TrainingModel(built, class_weights)
        check_devices(strategy, batch_size, model.accumulation_steps, jit_compile)
        model.compile(training_optimizer(total_steps=steps), jit_compile=jit_compile)
        model.build((None, *crop_size, 3))
    claim_model_dir(model_dir, NETWORK_FILE, network_file_content(description))
    claim_model_dir(model_dir, SCHEDULE_FILE, schedule(train_reader, seed, batch_size, epoch_steps))
    best = ResultWeights(model_dir, model)
    state = RunState(
        model_dir,
        epoch_steps,
        checkpoint_steps,
        network=built,
        optimizer=model.optimizer,
        positions=model.positions,
        best=best.best,
    )
    resumed = state.restore()
    write_run(model_dir, directory, train_reader.description)
    say(
        f"{'Going on in' if resumed else 'Writing to'} {model_dir} (step "
        f"{state.epoch * epoch_steps + state.step} of {steps}, validation every {epoch_steps}). "
        f"Watch it: tensorboard --logdir {model_dir}"
    )

    def stream():
        return configured_stream(
            train_reader,
            batch_size=batch_size,
            crop_size=crop_size,
            seed=seed,
            start_position=int(model.positions[0].numpy()),
            deterministic=deterministic,
        )

    validation = validation_stream(val_reader, validation_images, strategy.num_replicas_in_sync)
    with one_line_failures(train_reader, val_reader), state:
        records = [
            RunLog(model_dir, built, model.optimizer, val_reader.description, validation.take(2)),
            best,
            state,  # Last: what the others wrote belongs to the state that is saved.
        ]
        callbacks = [
            StopWhenNotFinite(model_dir, model.optimizer, "training_optimizer.initial_rate"),
            DropPathSchedule(built, model.optimizer, steps),
            HeadDropout(built, model.optimizer),
            ProgressBar(note=best.describe),
            *records,
        ]
        for first, last, fit_steps in _segments(state.epoch, state.step, steps, epoch_steps):
            if not fit_steps:
                _end_epoch(model, validation, first, records)
                continue
            dataset = stream()
            write_config(model_dir)  # Now that all that takes bindings was called.
            model.fit(
                dataset,
                initial_epoch=first,
                epochs=last,
                steps_per_epoch=fit_steps,
                validation_data=validation,
                callbacks=callbacks,
                verbose=0,
            )
    metrics = read_json_lines(os.path.join(model_dir, METRICS_FILE), key="epoch")
    return {
        "val_miou": metrics[max(metrics)]["val_miou"],
        "best_val_miou": float(best.best),
        "steps": int(model.optimizer.iterations.numpy()),
        "seconds": round(time.time() - start, 1),
        "model_dir": model_dir,
    }


def _segments(epoch: int, step: int, steps: int, epoch_steps: int) -> List[Tuple[int, int, int]]:
    """Cuts what is left of a run into calls of `fit`.

    Returns:
      A list of (first epoch, epoch to stop before, steps per epoch): the rest of an epoch
      that was begun, without steps if only its validation is left, whole epochs, the shorter
      one at the end.
    """
    whole, rest = divmod(steps, epoch_steps)
    segments = []
    if step:
        left = min(epoch_steps, steps - epoch * epoch_steps) - step
        segments.append((epoch, epoch + 1, max(0, left)))
        epoch += 1
    if epoch < whole:
        segments.append((epoch, whole, epoch_steps))
        epoch = whole
    if epoch == whole and rest:
        segments.append((whole, whole + 1, rest))
    return segments


def _end_epoch(model: TrainingModel, validation, epoch: int, callbacks) -> None:
    """Scores an epoch whose steps are all done; `fit` cannot do without any."""
    scores = model.evaluate(validation, verbose=0, return_dict=True)
    for callback in callbacks:
        callback.on_epoch_end(epoch, {f"val_{name}": value for name, value in scores.items()})


def _set_precision(precision: str) -> None:
    choices = ("float32", "mixed_bfloat16", "mixed_float16")
    if precision not in choices:
        raise ValueError(f"precision {precision!r}: choose from {list(choices)}.")
    tf.keras.mixed_precision.set_global_policy(precision)


def _class_weights(reader: RecordReader):
    frequencies = reader.description.splits[reader.split].class_frequencies
    if frequencies is None:
        raise ValueError(
            "class_balanced_loss needs the class frequencies of dataset.json; convert the data "
            "set with data_prep, or turn it off."
        )
    return median_frequency_weights(frequencies)


def main() -> Dict[str, Any]:
    """Runs the program on its flags."""
    options = flags.FLAGS
    parse_gin(options.gin_file, options.gin_param)
    return train(
        os.path.expanduser(options.model_dir),
        genotype=options.genotype,
        init_from=options.init_from and os.path.expanduser(options.init_from),
    )


if __name__ == "__main__":
    define_gin_flags()
    flags.DEFINE_string("model_dir", os.path.join("runs", "train"), "Directory of the run.")
    flags.DEFINE_string(
        "genotype", None, "Genotype of the decoded network: a file, or the preset auto_deeplab."
    )
    flags.DEFINE_string("init_from", None, "Model directory of a run to start from.")
    run_program(main)
