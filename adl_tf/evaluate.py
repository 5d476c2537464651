"""Scores a trained network on a data set, and writes its label maps.

python -m adl_tf.evaluate --model_dir=DIR [--scales=0.5,0.75,1 --flip] [--save_predictions=DIR]
"""

import os
import sys
import time
from typing import Any, Dict, Optional, Sequence

from absl import flags

from adl_tf.configuration import define_gin_flags, parse_gin, run_program, say  # isort: skip

import gin
import tensorflow as tf
from tqdm import tqdm

from adl_tf.data.dataset_dir import find_dataset
from adl_tf.data.description import DESCRIPTION_FILE, Size
from adl_tf.data.failures import one_line_failures
from adl_tf.data.reader import RecordReader, evaluation_stream
from adl_tf.evaluation.inference import Predictor
from adl_tf.evaluation.prediction_writer import PredictionWriter, make_directory
from adl_tf.evaluation.results import format_table, summarize, write_results
from adl_tf.evaluation.scoreboard import Scoreboard
from adl_tf.model_directory import CLASSES_FILE
from adl_tf.models.classes import read_classes
from adl_tf.models.network import load_network
from adl_tf.models.trained_on import read_run
from adl_tf.sizes import crop_sides

_OPTIONS = (
    "dataset_dir",
    "split",
    "checkpoint",
    "scales",
    "flip",
    "crop_size",
    "stride",
    "batch_size",
    "save_predictions",
    "output_dir",
    "max_images",
)


@gin.configurable
def evaluate(
    model_dir: str,
    dataset_dir: Optional[str] = None,
    split: str = "val",
    checkpoint: str = "best",
    scales: Sequence[float] = (1.0,),
    flip: bool = False,
    crop_size: Optional[Size] = None,
    stride: Optional[Size] = None,
    batch_size: int = 1,
    save_predictions: Optional[str] = None,
    output_dir: Optional[str] = None,
    max_images: Optional[int] = None,
    num_pictures: int = 4,
    max_bad_records: int = 0,
) -> Dict[str, Any]:
    """Predicts every image of a split and scores what has labels.

    Args:
      model_dir: directory of a trained network.
      dataset_dir: directory of TFRecords; None for those of the training.
      split: of the data set.
      checkpoint: "best", "last", or a path.
      scales: see `Predictor`, as the next three.
      flip: average with the mirrored image.
      crop_size: (height, width) of sliding windows, or one side of squares; None for whole
        images.
      stride: (y, x) distance of the windows, or one number for both.
      batch_size: images at a time, where all have the same size.
      save_predictions: directory of label maps in the data set's official ids.
      output_dir: of what is written; `evaluation` in the model directory by default.
      max_images: only so many, the first ones.
      num_pictures: how many of the worst and of the best images are shown.
      max_bad_records: bad records to skip before failing.

    Returns:
      miou, pixel_accuracy, average, per_class (see `summarize`), images, and how they were
      had: split, checkpoint, scales, flip, crop_size, seconds; evaluation and page (files),
      predictions (directory).

    Raises:
      ValueError, FileNotFoundError: bad configuration, network or data set.
    """
    # With TensorFlow's own threads: a network on a whole image is a few large kernels.
    start = time.time()
    crop_size, stride = (sides and crop_sides(sides) for sides in (crop_size, stride))
    network = load_network(model_dir, checkpoint)
    dataset_dir = dataset_dir or read_run(model_dir).get("dataset_dir")
    if not dataset_dir:
        raise ValueError(
            f"{model_dir} does not say which data set its network was trained on; give "
            "--dataset_dir=DIR."
        )
    reader = _open_split(
        find_dataset(dataset_dir),
        split,
        network.num_classes,
        _class_names(model_dir, network.num_classes),
        max_bad_records,
    )
    description, labelled = reader.description, reader.labelled
    size = _common_size(reader)
    if batch_size > 1 and size is None:
        raise ValueError(
            f"batch_size={batch_size}: the images of split {split!r} differ in size, or "
            f"{DESCRIPTION_FILE} does not say; leave batch_size at 1."
        )
    if not labelled and not save_predictions:
        raise ValueError(
            f"split {split!r} has no label maps to score against; give --save_predictions=DIR to "
            "predict it."
        )
    predictor = Predictor(
        network, scales=scales, flip=flip, crop_size=crop_size, stride=stride, image_size=size
    )
    writer = PredictionWriter(save_predictions, description) if save_predictions else None
    scoreboard = Scoreboard(network.num_classes, num_pictures) if labelled else None
    output_dir = output_dir or os.path.join(model_dir, "evaluation")
    if labelled:
        make_directory(output_dir)

    stream = evaluation_stream(reader, batch_size=batch_size, size=size)
    count = reader.num_examples
    if max_images:
        stream = stream.unbatch().take(max_images).batch(batch_size)
        count = min(max_images, count)
    with one_line_failures(reader):
        images = _predict(stream, count, predictor, writer, scoreboard)

    counts = scoreboard.counts if labelled else None
    result = {
        **summarize(counts, description.class_names),
        "images": images,
        "dataset_dir": dataset_dir,
        "split": split,
        "checkpoint": checkpoint,
        "scales": list(scales),
        "flip": flip,
        "crop_size": crop_size,
        "predictions": save_predictions,
        "seconds": round(time.time() - start, 1),
    }
    if labelled:
        say(format_table(counts, description.class_names))
        facts = [os.path.abspath(model_dir), f"checkpoint {checkpoint}"]
        if list(scales) != [1.0]:
            facts.append(f"scales {', '.join(f'{scale:g}' for scale in scales)}")
        if flip:
            facts.append("with flips")
        facts.append("windows of {}x{}".format(*crop_size) if crop_size else "whole images")
        title = f"{description.name}, {split}"
        result.update(write_results(output_dir, result, title, facts, scoreboard, description))
    return result


def _predict(stream, count, predictor, writer, scoreboard):
    """Predicts, writes and scores image by image; returns how many there were."""
    try:
        with tqdm(total=count, unit="image", mininterval=0.5, file=sys.stderr) as bar:
            for batch in stream:
                predictions = predictor(batch["image"])
                for index, name in enumerate(batch["filename"].numpy()):
                    image, label = batch["image"][index], batch["label"][index]
                    if writer:
                        writer.write(name.decode(), predictions[index].numpy())
                    if scoreboard:
                        scoreboard.add(name.decode(), image, label, predictions[index])
                if scoreboard:
                    miou = float(scoreboard.matrix.result())
                    bar.set_postfix_str(f"mIoU {100 * miou:.2f} %", refresh=False)
                bar.update(len(predictions))
        return bar.n
    except tf.errors.ResourceExhaustedError:
        raise ValueError(
            "out of memory: predict by windows (--crop_size), fewer images at a time "
            "(--batch_size) or at smaller scales."
        ) from None


def _open_split(dataset_dir, split, num_classes, class_names, max_bad_records):
    """The split's reader, whose classes are the network's."""
    described = os.path.exists(os.path.join(dataset_dir, DESCRIPTION_FILE))
    reader = RecordReader(dataset_dir, split, None if described else num_classes, max_bad_records)
    if reader.num_classes != num_classes:
        raise ValueError(
            f"{dataset_dir} has {reader.num_classes} classes, but the network was trained with "
            f"{num_classes}: give the --dataset_dir or the --model_dir that belongs to the other."
        )
    for label, (found, wanted) in enumerate(zip(reader.description.class_names, class_names)):
        if described and found != wanted:
            raise ValueError(
                f"{dataset_dir}: class {label} is {found!r}, but the network was trained with "
                f"{wanted!r} there: give the --dataset_dir or the --model_dir that belongs to the "
                "other."
            )
    return reader


def _class_names(model_dir, num_classes):
    """Names of the classes that a network was trained with; none where that is not known."""
    path = os.path.join(model_dir, CLASSES_FILE)
    if not os.path.exists(path):
        return ()
    return read_classes(model_dir, num_classes).class_names


def _common_size(reader):
    """(height, width) of the images where all have the same; None where they have not."""
    split = reader.description.splits[reader.split]
    return split.max_size if split.max_size == split.min_size else None


def _numbers(name, texts, kind):
    try:
        return tuple(kind(text) for text in texts)
    except ValueError:
        raise ValueError(f"--{name}={','.join(texts)}: give numbers between commas.") from None


def _height_and_width(name, texts):
    numbers = _numbers(name, texts, int)
    if len(numbers) not in (1, 2):
        raise ValueError(f"--{name}={','.join(texts)}: give two numbers, or one for both.")
    return numbers[0], numbers[-1]


def main() -> Dict[str, Any]:
    """Runs the program on its flags; those not given are left to gin."""
    values = flags.FLAGS.flag_values_dict()
    parse_gin(values["gin_file"], values["gin_param"])
    given = {name: values[name] for name in _OPTIONS if values[name] is not None}
    if "scales" in given:
        given["scales"] = _numbers("scales", given["scales"], float)
    for name in {"crop_size", "stride"} & given.keys():
        given[name] = _height_and_width(name, given[name])
    for name in {"checkpoint", "save_predictions", "output_dir"} & given.keys():
        given[name] = os.path.expanduser(given[name])
    return evaluate(os.path.expanduser(values["model_dir"]), **given)


if __name__ == "__main__":
    define_gin_flags()
    flags.DEFINE_string("model_dir", None, "Directory of a trained network.", required=True)
    flags.DEFINE_string("dataset_dir", None, "Directory of TFRecords [that of the training].")
    flags.DEFINE_string("split", None, "Split of the data set [val].")
    flags.DEFINE_string("checkpoint", None, "best, last or a path [best].")
    flags.DEFINE_list("scales", None, "Average over images scaled by these factors [1].")
    flags.DEFINE_bool("flip", None, "Average with the mirrored images [no].")
    flags.DEFINE_list("crop_size", None, "H,W of sliding windows [whole images].")
    flags.DEFINE_list("stride", None, "Y,X distance of the windows [two thirds of them].")
    flags.DEFINE_integer("batch_size", None, "Images at a time [1].", lower_bound=1)
    flags.DEFINE_string("save_predictions", None, "Write label maps into this directory [no].")
    flags.DEFINE_string("output_dir", None, "Directory of the results [MODEL_DIR/evaluation].")
    flags.DEFINE_integer("max_images", None, "Only the first images [all].", lower_bound=1)
    run_program(main)
