"""Label maps and scores of a data set in the shape of Cityscapes, against its own evaluator."""

import glob
import json

import numpy as np
import pytest
import tensorflow as tf
from cityscapesscripts.evaluation import evalPixelLevelSemanticLabeling as official
from cityscapesscripts.helpers.labels import trainId2label
from PIL import Image

from adl_tf.evaluation import network_evaluation
from adl_tf.evaluation.network_evaluation import evaluate_network
from data_prep import convert_cityscapes
from data_prep.run import run_conversion

CLASSES = 19
BUS, TRUCK, TRAIN = 15, 14, 16
SIZES = {
    "train": {"ulm/ulm_000000_000019": (32, 64)},
    "val": {
        "lindau/lindau_000000_000019": (32, 64),
        "lindau/lindau_000001_000019": (40, 50),
        "munster/munster_000000_000019": (33, 65),
    },
    "test": {"bonn/bonn_000000_000019": (32, 64)},
}


class RedIsTheClass:
    """A network that reads the class off an image's red channel, its thirteenth part."""

    num_classes = CLASSES

    def __call__(self, images, training):
        red = (images[..., :1] + 1) * 127.5
        return -tf.abs(red - 13.0 * tf.range(CLASSES, dtype=tf.float32))


def blocks(random, ids, size):
    grid = random.choice(ids, (size[0] // 4 + 1, size[1] // 4 + 1))
    return np.kron(grid, np.ones((4, 4), int))[: size[0], : size[1]]


def write_png(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """No train anywhere, no predicted bus, no true truck; all other ids in 0..33 are true."""
    root = tmp_path_factory.mktemp("cityscapes")
    random = np.random.default_rng(0)
    train_ids = np.full(34, 255)
    for train_id in range(CLASSES):
        train_ids[trainId2label[train_id].id] = train_id
    true_ids = [label for label in range(34) if train_ids[label] not in (TRUCK, TRAIN)]
    predictable = [label for label in range(CLASSES) if label not in (BUS, TRAIN)]
    for split, sizes in SIZES.items():
        for name, size in sizes.items():
            label = blocks(random, true_ids, size)
            wrong = blocks(random, predictable, size)
            right = train_ids[label]
            keep = (random.random(size) < 0.6) & np.isin(right, predictable)
            red = 13 * np.where(keep, right, wrong)
            image = np.stack([red, random.integers(0, 256, size), label], -1).astype(np.uint8)
            write_png(root / "leftImg8bit" / split / f"{name}_leftImg8bit.png", image)
            if split != "test":
                stem = root / "gtFine" / split / name
                write_png(stem.with_name(f"{stem.name}_gtFine_labelIds.png"), label.astype("u1"))
                instances = np.where(label >= 24, 1000 * label, label).astype(np.uint16)
                write_png(stem.with_name(f"{stem.name}_gtFine_instanceIds.png"), instances)
    return root


@pytest.fixture(scope="module")
def records(archive, tmp_path_factory):
    directory = str(tmp_path_factory.mktemp("records"))
    run_conversion(convert_cityscapes.plan(str(archive)), directory)
    return directory


@pytest.fixture(autouse=True)
def stub(monkeypatch):
    network = RedIsTheClass()
    monkeypatch.setattr(network_evaluation, "load_network", lambda *_: network)
    # The official evaluator calls what numpy 2 no longer has.
    monkeypatch.setattr(np, "in1d", np.isin, raising=False)


def official_scores(archive, predictions):
    args = official.args
    args.quiet, args.JSONOutput = True, False
    args.predictionPath, args.predictionWalk = predictions, None
    truth = sorted(glob.glob(str(archive / "gtFine/val/*/*_gtFine_labelIds.png")))
    assert len(truth) == 3
    files = [official.getPrediction(args, file) for file in truth]
    return official.evaluateImgLists(files, truth, args)


def test_scores_are_those_of_the_official_evaluator(archive, records, tmp_path, capsys):
    predictions = str(tmp_path / "predictions")
    result = evaluate_network(
        str(tmp_path), dataset_dir=records, save_predictions=predictions, num_pictures=1
    )
    expected = official_scores(archive, predictions)
    assert result["images"] == 3
    assert result["miou"] == pytest.approx(expected["averageScoreClasses"], abs=1e-6)
    assert 0.1 < result["miou"] < 0.9
    assert len(result["per_class"]) == CLASSES
    for name, iou in result["per_class"].items():
        iou = np.nan if iou is None else iou
        assert iou == pytest.approx(expected["classScores"][name], abs=1e-6, nan_ok=True), name
    assert result["per_class"]["train"] is None
    assert result["per_class"]["bus"] == result["per_class"]["truck"] == 0

    ids = [trainId2label[train_id].id for train_id in range(CLASSES)]
    counts = np.array(expected["confMatrix"])[np.ix_(ids, ids)]
    with open(result["evaluation"]) as file:
        content = json.load(file)
    assert content["confusion_matrix"] == counts.tolist()
    accuracy = np.trace(counts) / counts.sum()
    assert result["pixel_accuracy"] == pytest.approx(accuracy)
    assert result["average"] == pytest.approx((accuracy + result["miou"]) / 2)
    assert [name for name, _ in content["image_miou"]] == [
        name.split("/")[1] for name in SIZES["val"]
    ]
    assert "train" in capsys.readouterr().err  # The table.


def test_split_without_labels_is_predicted(archive, records, tmp_path):
    predictions = tmp_path / "predictions"
    result = evaluate_network(
        str(tmp_path / "run"),
        dataset_dir=records,
        split="test",
        save_predictions=str(predictions),
    )
    assert result["images"] == 1 and result["miou"] is None and result["per_class"] is None
    (file,) = predictions.iterdir()
    assert file.name == "bonn_000000_000019.png"
    image = np.array(
        Image.open(archive / "leftImg8bit/test/bonn/bonn_000000_000019_leftImg8bit.png")
    )
    ids = np.array([trainId2label[train_id].id for train_id in range(CLASSES)])
    np.testing.assert_array_equal(np.array(Image.open(file)), ids[image[..., 0] // 13])
    assert not (tmp_path / "run").exists()


def test_first_images_only(records, tmp_path):
    result = evaluate_network(str(tmp_path), dataset_dir=records, max_images=2)
    assert result["images"] == 2
    files = {path.name for path in (tmp_path / "evaluation").iterdir()}
    assert files == {".lock", "evaluation.json", "index.html", "confusion.png", "worst.png"}
    # Another one in its place leaves nothing of it; sides of squares, as gin may give them.
    result = evaluate_network(
        str(tmp_path), dataset_dir=records, max_images=1, num_pictures=0, crop_size=33, stride=20
    )
    assert result["crop_size"] == (33, 33)
    files = {path.name for path in (tmp_path / "evaluation").iterdir()}
    assert files == {".lock", "evaluation.json", "index.html", "confusion.png"}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"batch_size": 2}, "differ in size"),
        ({"split": "test"}, "give --save_predictions=DIR"),
        ({"split": "nowhere"}, "no split 'nowhere'"),
        ({"scales": ()}, "give at least one"),
        ({"output_dir": "/dev/null/x"}, "cannot create this directory"),
    ],
)
def test_bad_options_are_named(records, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        evaluate_network(str(tmp_path), dataset_dir=records, **options)


def test_other_classes_are_named(records, tmp_path, monkeypatch):
    monkeypatch.setattr(RedIsTheClass, "num_classes", 21)
    with pytest.raises(ValueError, match="has 19 classes, but the network was trained with 21"):
        evaluate_network(str(tmp_path), dataset_dir=records)
