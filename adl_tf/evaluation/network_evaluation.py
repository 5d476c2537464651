"""Scores a trained network on a data set: opens both, predicts, counts, reports."""

import contextlib
import functools
import itertools
import os
import sys
import time
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple, Union

import tensorflow as tf
from tqdm import tqdm

from adl_tf.data.description import DESCRIPTION_FILE, DatasetDescription
from adl_tf.data.failures import one_line_failures
from adl_tf.data.identity import identify
from adl_tf.data.reader import RecordReader
from adl_tf.data.streams import evaluation_stream
from adl_tf.distribution.strategy import distribution_strategy, own_shard
from adl_tf.distribution.workers import Workers
from adl_tf.evaluation.inference import Predictor
from adl_tf.evaluation.prediction_writer import PredictionWriter
from adl_tf.evaluation.results import format_table, summarize, write_results
from adl_tf.evaluation.scoreboard import Scoreboard
from adl_tf.model_directory import CLASSES_FILE, EVALUATION_FOLDER
from adl_tf.models.classes import read_classes
from adl_tf.models.trained_on import kept_data, read_run
from adl_tf.models.weights import load_network
from adl_tf.sizes import crop_sides
from adl_tf.system.files import make_directory
from adl_tf.system.progress import say
from adl_tf.system.settings import Count, Name, Number, Positive, Sides, configurable
from data_prep.dataset_dir import find_dataset


@configurable
def evaluate_network(
    model_dir: str,
    dataset_dir: Optional[Name] = None,
    split: Name = "val",
    checkpoint: Name = "best",
    scales: Sequence[Positive] = (1.0,),
    flip: bool = False,
    crop_size: Union[Count, Sides, None] = None,
    stride: Union[Count, Sides, None] = None,
    batch_size: Count = 1,
    save_predictions: Optional[Name] = None,
    output_dir: Optional[Name] = None,
    max_images: Optional[Count] = None,
    num_pictures: Number = 32,
    max_bad_records: Number = 0,
) -> Dict[str, Any]:
    """Predicts every image of a split, and scores it if there are labels.

    The devices and machines of `distribution_strategy` share the images.

    Args:
      model_dir: directory of a trained network.
      dataset_dir: directory of TFRecords; None for the training data.
      split: split of the data set.
      checkpoint: "best", "last", or a path.
      scales, flip: see `Predictor`.
      crop_size: (height, width) of windows in pixels, or one side; None for whole images.
      stride: (y, x) distance of the windows in pixels, or one number for both.
      batch_size: images per batch, if all have the same size.
      save_predictions: directory of label maps in the data set's official ids.
      output_dir: directory of what is written; `evaluation` in the model directory by default.
      max_images: score only the first ones.
      num_pictures: how many of the worst and of the best images are shown, all where there are no
        more than these.
      max_bad_records: bad records to skip before failing.

    Returns:
      miou, dice, pixel_accuracy, average, per_class (see `summarize`); images; the settings
      dataset_dir, split, checkpoint, scales, flip, crop_size; predictions (directory);
      seconds; with labels, evaluation and page (files).

    Raises:
      ValueError, FileNotFoundError: bad configuration, network or data set.
    """
    # With TensorFlow's own threads: a network on a whole image is a few large kernels.
    start = time.time()
    crop_size, stride = (sides and crop_sides(sides) for sides in (crop_size, stride))
    strategy = distribution_strategy()
    shard = own_shard(strategy)
    network = _load(model_dir, checkpoint, strategy)
    own_data, dataset_dir = not dataset_dir, dataset_dir or _training_dataset(model_dir)
    reader = _open_split(dataset_dir, split, model_dir, network.num_classes, max_bad_records)
    if own_data:
        _warn_of_changes(model_dir, reader)
    _check_possible(reader, batch_size, save_predictions)
    views = {"scales": list(scales), "flip": flip, "crop_size": crop_size}
    predictor = Predictor(network, **views, stride=stride, image_size=reader.common_size)
    writer = PredictionWriter(save_predictions, reader.description) if save_predictions else None
    scoreboard = Scoreboard(network.num_classes, num_pictures) if reader.labelled else None
    output_dir = output_dir or os.path.join(model_dir, EVALUATION_FOLDER)
    if scoreboard:
        make_directory(output_dir)

    stream = evaluation_stream(
        reader, batch_size=batch_size, size=reader.common_size, limit=max_images, shard=shard
    )
    count = -(-min(max_images or reader.num_examples, reader.num_examples) // shard.count)
    workers = Workers(strategy)
    with workers.running(output_dir), one_line_failures(reader):
        predict = _on_devices(strategy, predictor, shard.replicas)
        images = _predict(_groups(stream, shard.replicas), count, predict, writer, scoreboard)
        images = sum(workers.gather(images))
        if scoreboard:
            scoreboard = _merge(workers.gather(scoreboard.content()), scoreboard, num_pictures)

    result = {
        **summarize(scoreboard and scoreboard.counts, reader.description.class_names),
        "images": images,
        "dataset_dir": dataset_dir,
        "split": split,
        "checkpoint": checkpoint,
        **views,
        "predictions": save_predictions,
        "seconds": round(time.time() - start, 1),
    }
    if scoreboard and workers.is_chief:
        result.update(_report(output_dir, model_dir, result, scoreboard, reader.description))
    return result


def _load(model_dir: str, checkpoint: str, strategy: tf.distribute.Strategy) -> tf.keras.Model:
    """The network, on all devices of this process."""
    # One device has variables of its own: those of a strategy are read on all machines at a time.
    with strategy.scope() if own_shard(strategy).replicas > 1 else contextlib.nullcontext():
        return load_network(model_dir, checkpoint)


def _training_dataset(model_dir: str) -> str:
    """The data set that a network was trained on."""
    dataset_dir = read_run(model_dir).get("dataset_dir")
    if not dataset_dir:
        raise ValueError(
            f"{model_dir} does not say which data set its network was trained on; give "
            "--dataset_dir=DIR."
        )
    return dataset_dir


def _open_split(
    dataset_dir: str, split: str, model_dir: str, num_classes: int, max_bad_records: int
) -> RecordReader:
    """The split's reader, whose classes are the network's."""
    directory = find_dataset(dataset_dir)
    described = os.path.exists(os.path.join(directory, DESCRIPTION_FILE))
    reader = RecordReader(directory, split, None if described else num_classes, max_bad_records)
    if reader.num_classes != num_classes:
        raise ValueError(
            f"{directory} has {reader.num_classes} classes, but the network was trained with "
            f"{num_classes}: give a matching --dataset_dir or --model_dir."
        )
    trained_names = _trained_class_names(model_dir, num_classes)
    for label, (found, wanted) in enumerate(zip(reader.description.class_names, trained_names)):
        if described and found != wanted:
            raise ValueError(
                f"{directory}: class {label} is {found!r}, but the network was trained with "
                f"{wanted!r} there: give a matching --dataset_dir or --model_dir."
            )
    return reader


def _warn_of_changes(model_dir: str, reader: RecordReader) -> None:
    """Says that a split is no longer what a training read: scores do not compare."""
    kept = kept_data(model_dir)
    before = kept and kept.splits.get(reader.split)
    if before and before != identify([reader]).splits[reader.split]:
        say(
            f"warning: split {reader.split!r} has changed since the training in {model_dir}: its "
            "scores there are of other images or masks."
        )


def _trained_class_names(model_dir: str, num_classes: int) -> Tuple[str, ...]:
    """Names of the classes that a network was trained with; none if unknown."""
    if not os.path.exists(os.path.join(model_dir, CLASSES_FILE)):
        return ()
    return read_classes(model_dir, num_classes).class_names


def _check_possible(reader: RecordReader, batch_size: int, save_predictions: Optional[str]) -> None:
    """Checks that the images form batches, and that there is something to do with them."""
    if batch_size > 1 and reader.common_size is None:
        raise ValueError(
            f"batch_size={batch_size}: the images of split {reader.split!r} differ in size, or "
            f"{DESCRIPTION_FILE} does not say; leave batch_size at 1."
        )
    if not reader.labelled and not save_predictions:
        raise ValueError(
            f"split {reader.split!r} has no label maps to score against; give "
            "--save_predictions=DIR to predict it."
        )


def _on_devices(
    strategy: tf.distribute.Strategy, predictor: Predictor, devices: int
) -> Callable[[List[tf.Tensor]], List[tf.Tensor]]:
    """A function from batches of images, one for each device here, to their label maps."""
    if devices == 1:
        return lambda batches: [predictor(batches[0])]

    @functools.partial(tf.function, reduce_retracing=True, autograph=False)
    def run(batches):
        return strategy.run(predictor, args=(batches,))

    def predict(batches):
        # Some devices may have nothing to do at the end; an image twice does no harm.
        filled = [*batches, *batches[-1:] * (devices - len(batches))]
        inputs = strategy.experimental_distribute_values_from_function(
            lambda context: filled[context.replica_id_in_sync_group % devices]
        )
        return strategy.experimental_local_results(run(inputs))[: len(batches)]

    return predict


def _groups(stream: tf.data.Dataset, devices: int) -> Iterator[List[Dict[str, tf.Tensor]]]:
    """The batches of a stream, as many at a time as there are devices."""
    batches = iter(stream)
    while group := list(itertools.islice(batches, devices)):
        yield group


def _predict(
    groups: Iterable[List[Dict[str, tf.Tensor]]],
    count: int,
    predict: Callable[[List[tf.Tensor]], List[tf.Tensor]],
    writer: Optional[PredictionWriter],
    scoreboard: Optional[Scoreboard],
) -> int:
    """Predicts, writes and scores image by image; returns how many there were."""
    try:
        with tqdm(total=count, unit="image", mininterval=0.5, file=sys.stderr) as bar:
            for group in groups:
                for batch, predictions in zip(group, predict([each["image"] for each in group])):
                    _keep(batch, predictions, writer, scoreboard)
                    bar.update(len(predictions))
                if scoreboard:
                    miou = float(scoreboard.matrix.result())
                    bar.set_postfix_str(f"mIoU {100 * miou:.2f} %", refresh=False)
        return bar.n
    except tf.errors.ResourceExhaustedError:
        raise ValueError(
            "out of memory: predict by windows (--crop_size), fewer images at a time "
            "(--batch_size) or at smaller scales."
        ) from None


def _keep(
    batch: Dict[str, tf.Tensor],
    predictions: tf.Tensor,
    writer: Optional[PredictionWriter],
    scoreboard: Optional[Scoreboard],
) -> None:
    """Writes and scores the label maps of a batch."""
    for index, name in enumerate(batch["filename"].numpy()):
        if writer:
            writer.write(name.decode(), predictions[index].numpy())
        if scoreboard:
            image, label = batch["image"][index], batch["label"][index]
            position = int(batch["position"][index])
            scoreboard.add(position, name.decode(), image, label, predictions[index])


def _merge(contents: Sequence[Tuple], scoreboard: Scoreboard, num_pictures: int) -> Scoreboard:
    """One scoreboard of what those of all machines hold."""
    merged = Scoreboard(scoreboard.matrix.num_classes, num_pictures)
    for content in contents:
        merged.include(*content)
    return merged


def _report(
    output_dir: str,
    model_dir: str,
    result: Dict[str, Any],
    scoreboard: Scoreboard,
    description: DatasetDescription,
) -> Dict[str, str]:
    """Prints the table and writes the files; returns the paths of these, see `write_results`."""
    say(format_table(scoreboard.counts, description.class_names))
    facts = [os.path.abspath(model_dir), f"checkpoint {result['checkpoint']}"]
    if result["scales"] != [1.0]:
        facts.append(f"scales {', '.join(f'{scale:g}' for scale in result['scales'])}")
    if result["flip"]:
        facts.append("with flips")
    size = result["crop_size"]
    facts.append("windows of {}x{}".format(*size) if size else "whole images")
    title = f"{description.name}, {result['split']}"
    return write_results(output_dir, result, title, facts, scoreboard, description)
