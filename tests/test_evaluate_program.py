"""The evaluation program as a real process, with a small real network."""

import dataclasses
import json

import forked
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from adl_tf.data.description import read_dataset_description
from adl_tf.data.reader import RecordReader
from adl_tf.data.streams import evaluation_stream
from adl_tf.evaluation.inference import Predictor
from adl_tf.evaluation.metrics import class_ious, count_pixels, pixel_accuracy
from adl_tf.evaluation.network_evaluation import evaluate_network
from adl_tf.models.registry import NetworkDescription, build_network, write_network_description
from adl_tf.models.trained_on import write_run
from adl_tf.models.weights import load_network, save_weights
from adl_tf.space.genotype import Genotype
from data_prep import convert_synthetic

CLASSES, HEIGHT, WIDTH, IMAGES = 8, 48, 65, 3


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    directory = str(tmp_path_factory.mktemp("streets"))
    convert_synthetic.build(directory, num_train=1, num_val=IMAGES, height=HEIGHT, width=WIDTH)
    return directory


def make_run(directory, num_classes=CLASSES):
    """A model directory with random weights as its best checkpoint."""
    directory.mkdir(exist_ok=True)
    genotype = Genotype(path=(0, 1), cell=(((1, "sep_conv_3x3"), (0, "skip_connect")),))
    description = NetworkDescription("decoded", num_classes, genotype, filter_multiplier=2)
    tf.keras.utils.set_random_seed(1)
    network = build_network(description)
    for layer in network.submodules:
        # As after training: untrained statistics let no signal through.
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.moving_variance.assign(tf.fill(layer.moving_variance.shape, 1e-2))
    write_network_description(description, str(directory))
    save_weights(network, str(directory), "best")
    return directory


@pytest.fixture(scope="module")
def model_dir(dataset, tmp_path_factory):
    """A run that says what it was trained on."""
    directory = make_run(tmp_path_factory.mktemp("run"))
    write_run(str(directory), dataset, read_dataset_description(dataset))
    return directory


def run(model_dir, *arguments):
    return forked.run("adl_tf.evaluate", [f"--model_dir={model_dir}", *arguments])


def test_scores_the_network_on_the_data_of_its_training(dataset, model_dir):
    process = run(model_dir)
    assert process.status == 0, process.stderr
    (line,) = process.stdout.splitlines()
    result = json.loads(line)
    network = load_network(str(model_dir))
    counts = np.zeros((CLASSES, CLASSES), int)
    for batch in evaluation_stream(RecordReader(dataset, "val")):
        predictions = tf.argmax(network(batch["image"], training=False), -1)
        counts += count_pixels(batch["label"], predictions, CLASSES).numpy()
    assert result["images"] == IMAGES
    ious = class_ious(counts)
    assert result["miou"] == pytest.approx(np.nanmean(ious), abs=1e-4)
    assert result["pixel_accuracy"] == pytest.approx(pixel_accuracy(counts), abs=1e-4)
    assert result["average"] == pytest.approx((result["miou"] + result["pixel_accuracy"]) / 2)
    for iou, found in zip(ious, result["per_class"].values()):
        assert np.isnan(iou) if found is None else iou == pytest.approx(found, abs=1e-4)

    output = model_dir / "evaluation"
    content = json.loads((output / "evaluation.json").read_text())
    assert np.sum(content["confusion_matrix"]) == IMAGES * HEIGHT * WIDTH
    assert content["miou"] == result["miou"]
    assert {path.name for path in output.iterdir()} == {
        *(".lock", "evaluation.json", "index.html", "confusion.png", "worst.png"),
    }
    for picture in ("confusion.png", "worst.png"):
        assert min(Image.open(output / picture).size) > 100
    assert f"{100 * result['miou']:.2f}" in process.stderr and "mIoU" in process.stderr


def test_every_option_at_once(dataset, model_dir, tmp_path):
    process = run(
        model_dir,
        f"--dataset_dir={dataset}/",
        *("--split=train", "--scales=0.5,1,1.25", "--flip", "--crop_size=33,40", "--stride=20"),
        *("--batch_size=2", "--max_images=1", "--gin_param=evaluate_network.num_pictures = 0"),
        f"--save_predictions={tmp_path / 'maps'}",
        f"--output_dir={tmp_path / 'out'}",
    )
    assert process.status == 0, process.stderr
    result = json.loads(process.stdout.splitlines()[-1])
    assert (result["images"], result["scales"], result["flip"]) == (1, [0.5, 1, 1.25], True)
    (path,) = (tmp_path / "maps").iterdir()
    assert path.name == "street_train_00000.png"
    assert Image.open(path).size == (WIDTH, HEIGHT)
    files = {path.name for path in (tmp_path / "out").iterdir()}
    assert files == {".lock", "evaluation.json", "index.html", "confusion.png"}


def test_bad_input_is_one_line(model_dir, tmp_path):
    for directory, arguments, message in (
        (tmp_path, [], "so it holds no trained network"),
        (model_dir, ["--scales=1,x"], "--scales=1,x: give comma-separated numbers"),
    ):
        process = run(directory, *arguments)
        assert process.status == 1 and not process.stdout
        assert "Traceback" not in process.stderr
        (line,) = [x for x in process.stderr.splitlines() if x.startswith("error: ")]
        assert message in line


def test_data_of_other_classes_is_named(dataset, model_dir, tmp_path):
    with pytest.raises(ValueError, match="does not say which data set .* give --dataset_dir=DIR"):
        evaluate_network(str(make_run(tmp_path / "unknown")))
    description = read_dataset_description(dataset)
    names = ("ocean", *description.class_names[1:])
    run_dir = make_run(tmp_path / "other")
    write_run(str(run_dir), dataset, dataclasses.replace(description, class_names=names))
    with pytest.raises(ValueError, match="class 0 is 'sky', but .* trained with 'ocean' there"):
        evaluate_network(str(run_dir))


def test_images_smaller_than_the_strides_work(model_dir):
    predictor = Predictor(load_network(str(model_dir)), scales=[0.5, 1.0], flip=True)
    for size in ((1, 1), (1, 7), (3, 2), (9, 40)):
        probabilities = predictor.probabilities(tf.ones([1, *size, 3]))
        assert probabilities.shape == (1, *size, CLASSES)
        assert np.isfinite(probabilities).all()
