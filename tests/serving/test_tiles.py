"""Large images by tiles, against the whole; other scales, probabilities, messages."""

import os

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tiny_network import CLASSES, png, random_image

from adl_tf.data.description import DatasetDescription, Split
from adl_tf.data.normalization import normalize
from adl_tf.layers.convolution import resize, spatial_size
from adl_tf.models.classes import Classes, read_classes
from adl_tf.models.trained_on import write_run
from adl_tf.serving import prediction, tiled_network
from adl_tf.serving.body import Body
from adl_tf.serving.export import export_network
from adl_tf.serving.prediction import Segmenter, load_export, predict_images
from adl_tf.serving.servable import Servable
from adl_tf.serving.tile_positions import STEP, Span, cut, feature_range, image_rows, own_features
from adl_tf.serving.tiled_network import TiledNetwork

LENGTHS = st.integers(1, 3000)
TILES = st.tuples(st.integers(1, 8), st.integers(0, 4)).map(lambda n: (n[0] * STEP, n[1] * STEP))


@given(LENGTHS, TILES)
def test_tiles_answer_for_each_pixel_once_and_see_their_margin(length, sizes):
    core, margin = sizes
    spans = cut(length, core, margin)
    assert [place for s in spans for place in range(s.first, s.last)] == list(range(length))
    for span in spans:
        assert span.start == max(0, span.first - margin) or len(spans) == 1
        assert span.stop == length or span.stop >= span.last + margin
        assert span.start % STEP == 0 and span.stop - span.start <= core + 2 * margin + STEP
        assert (span.stop - length) % STEP == 0  # Even where the whole is, at each stride.
        for stride in (1, 2, 4, 8, 16, 32):
            part = own_features(span, stride)
            assert 0 <= part.start <= part.stop <= (span.stop - span.start - 1) // stride + 1
    positions = [
        place + span.start // 4
        for span in spans
        for place in range(own_features(span, 4).start, own_features(span, 4).stop)
    ]
    assert positions == list(range((length - 1) // 4 + 1))


@given(st.integers(2, 500), TILES, st.integers(1, 1500))
def test_a_resized_copy_answers_for_each_row_once(length, sizes, image_length):
    rows = [image_rows(span, length, image_length) for span in cut(length, *sizes)]
    assert [row for first, last in rows for row in range(first, last)] == list(range(image_length))


def test_what_a_tile_reads_is_what_the_whole_reads():
    whole = Span(0, 101, 0, 101)
    assert feature_range(whole, 101, 4, 8) == pytest.approx((0, 1), abs=1e-5)
    # 26 positions at stride 4 and 13 at stride 8, whose distance is 25 / 12 of the others.
    low, high = feature_range(Span(64, 101, 64, 101), 101, 4, 8)
    assert low == pytest.approx((16 * 12 / 25 - 8) / 4) and high == pytest.approx(1, abs=1e-5)


@pytest.fixture(scope="module")
def served(network, model_dir):
    """A `Servable` and its function; the first keeps the weights of the second."""
    servable = Servable(Body(network), read_classes(model_dir, len(CLASSES)))
    return servable, servable.signatures()["serving_tensor"]


def join(network, image, size=None):
    """Logits of a whole image of all its parts."""
    size = size or image.shape[:2]
    logits = np.full((*size, network.num_classes), np.nan, np.float32)
    for part in network.parts(image, size):
        logits[slice(*part.rows), slice(*part.columns)] = part.logits
    assert np.isfinite(logits).all()
    return logits


@pytest.mark.parametrize("size", [(641, 90), (600, 131)])
def test_tiles_have_the_labels_of_the_whole(served, network, size):
    """Even and odd sides: paddings and corners are elsewhere."""
    image = random_image(*size)
    expected = network(normalize(image[None]), training=False)[0].numpy()
    tiles = TiledNetwork(served[1], core=3 * STEP, margin=3 * STEP)
    logits = join(tiles, image)
    assert np.mean(logits.argmax(-1) == expected.argmax(-1)) >= 0.999
    assert np.abs(logits - expected).max() < 0.05 * np.abs(expected).max()


def test_means_and_corners_are_those_of_the_whole():
    """Of a network of little else: a mean of each tile alone would move all its logits."""
    images = tf.keras.Input((None, None, 3))
    features = tf.keras.layers.Conv2D(4, 3, 4, "same", kernel_initializer="ones")(images)
    mean = tf.reduce_mean(features, [1, 2], keepdims=True)
    to_images = tf.keras.layers.Lambda(lambda x: resize(x[0], spatial_size(x[1])))
    logits = to_images((features + 10 * mean, images))
    network = tf.keras.Model(images, logits)
    network.num_classes = 4
    servable = Servable(Body(network), Classes(CLASSES, ((0, 0, 0),) * 4))
    tiles = TiledNetwork(servable.signatures()["serving_tensor"], core=STEP, margin=STEP)
    for size in ((257, 321), (250, 300)):
        image = random_image(*size)
        image = (image * np.linspace(0, 1, size[0])[:, None, None]).astype(np.uint8)
        expected = network(normalize(image[None]))[0]
        np.testing.assert_allclose(join(tiles, image), expected, atol=1e-2)


def test_a_whole_image_is_as_served_and_reports_come_for_tiles(served):
    image = random_image(90, 130)
    whole = TiledNetwork(served[1], core=4 * STEP)
    np.testing.assert_array_equal(
        join(whole, image).argmax(-1), served[1](images=tf.constant(image[None]))["labels"][0]
    )
    told = []
    for _ in TiledNetwork(served[1], core=STEP, margin=0).parts(image, (90, 130), told.append):
        pass
    assert told == [f"tile {number} of 12" for number in range(1, 13)]


def test_logits_are_resized_to_the_image(served, monkeypatch):
    image = random_image(65, 97)
    network = TiledNetwork(served[1])
    expected = tf.raw_ops.ResizeBilinear(
        images=join(network, image)[None], size=(150, 260), align_corners=True
    )[0]
    np.testing.assert_allclose(join(network, image, (150, 260)), expected, atol=2e-3)
    monkeypatch.setattr(tiled_network, "_BYTES", 10_000)  # A few rows at a time.
    np.testing.assert_allclose(join(network, image, (150, 260)), expected, atol=2e-3)
    assert join(network, image, (20, 31)).shape == (20, 31, len(CLASSES))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "photos").mkdir()
    for index, size in enumerate(((60, 80), (120, 160))):
        (tmp_path / "photos" / f"{index}.png").write_bytes(png(random_image(*size)))
    return tmp_path / "photos"


def test_scales_and_probabilities(served, folder, tmp_path, capsys):
    network = TiledNetwork(served[1])
    classes = read_classes(str(tmp_path), len(CLASSES))
    classes = type(classes)(classes.class_names, classes.colors, ((60, 80), (60, 80)))
    segmenter = Segmenter(network, classes, {"preset": "tiny"})
    result = predict_images(segmenter, str(tmp_path / "out"), [str(folder)], "training", True)
    assert result["images"] == 2 and "was trained on images" not in capsys.readouterr().err
    with Image.open(folder / "1.png") as photo:
        half = np.asarray(photo.resize((80, 60), Image.Resampling.BILINEAR))
    expected = join(network, half, (120, 160))
    labels = np.asarray(Image.open(tmp_path / "out" / "labels" / "1.png"))
    np.testing.assert_array_equal(labels, expected.argmax(-1))
    probabilities = np.load(tmp_path / "out" / "probabilities" / "1.npy")
    assert probabilities.dtype == np.float16 and probabilities.shape == (120, 160, len(CLASSES))
    np.testing.assert_allclose(probabilities, tf.nn.softmax(expected), atol=1e-3)
    predict_images(segmenter, str(tmp_path / "own"), [str(folder)])
    said = [line for line in capsys.readouterr().err.splitlines() if "was trained" in line]
    assert len(said) == 1 and "1.png is seen at 120x160 pixels" in said[0]
    assert (
        "things look 2 times as large" in said[0] and "--scale=0.5 or --scale=training" in said[0]
    )
    with pytest.raises(ValueError, match="size of the training's images is not known"):
        unknown = Segmenter(network, read_classes(str(tmp_path), len(CLASSES)), {"preset": "tiny"})
        predict_images(unknown, str(tmp_path / "none"), [str(folder)], "training")


def test_exports_know_the_size_of_their_training_and_keep_their_own(model_dir, tmp_path):
    model = tmp_path / "model"
    os.symlink(os.path.join(model_dir, "best"), _made(model) / "best")
    os.symlink(os.path.join(model_dir, "network.json"), model / "network.json")
    colors = read_classes(model_dir, len(CLASSES)).colors
    splits = {
        "train": Split((), min_size=(30, 40), max_size=(50, 60)),
        "val": Split((), min_size=(20, 50), max_size=(40, 70)),
    }
    write_run(str(model), "data", DatasetDescription("x", CLASSES, colors, splits))
    exported = export_network(str(model), str(tmp_path / "export"), image_size=(33, 49))
    segmenter = load_export(exported["export_dir"])
    assert segmenter.classes.image_sizes == ((20, 40), (50, 70))
    assert segmenter.classes.class_names == CLASSES
    assert prediction.seen_size((500, 600), segmenter, 0.5) == (33, 49)


def _made(path):
    path.mkdir()
    return path


@pytest.mark.parametrize(
    "error, text",
    [
        (
            tf.errors.InvalidArgumentError(
                None,
                None,
                "Graph execution error:\n\nDetected at node 'body/Add' defined at (most recent):\n"
                "{{function_node __inference_signature_wrapper_12}} Incompatible shapes: [1] vs. "
                "[2]\n\t [[{{node served/Add}}]] [Op:__inference_run_3]",
            ),
            "Incompatible shapes: [1] vs. [2]",
        ),
        (
            tf.errors.ResourceExhaustedError(None, None, "OOM when allocating tensor with shape"),
            "there is not enough memory; --scale=0.5 takes a quarter",
        ),
        (MemoryError(), "there is not enough memory; --scale=0.5 takes a quarter"),
    ],
)
def test_errors_of_a_served_model_are_a_line_without_names(
    error, text, served, folder, tmp_path, capsys, monkeypatch
):
    def fail(*args, **kwargs):
        raise error

    segmenter = Segmenter(TiledNetwork(served[1]), read_classes(str(tmp_path), len(CLASSES)), {})
    monkeypatch.setattr(segmenter.network, "_whole", fail)
    with pytest.raises(ValueError, match="none of 2 images could be segmented"):
        predict_images(segmenter, str(tmp_path / "out"), [str(folder)])
    lines = [line for line in capsys.readouterr().err.splitlines() if "skipped" in line]
    assert [line.strip().split("skipped, ")[1] for line in lines] == [text, text]
