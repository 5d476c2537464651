"""An export against the network it was made of, loaded as a server loads it."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from server import read_signatures, serve
from tensorflow_serving.apis import prediction_log_pb2
from tiny_network import CLASSES, COLORS, jpeg, png, random_image

from adl_tf.data.normalization import normalize
from adl_tf.layers.convolution import resize
from adl_tf.models.classes import read_classes
from adl_tf.models.weights import load_network
from adl_tf.serving.body import Body, precision
from adl_tf.serving.export import export_network
from adl_tf.serving.grpc_client import bytes_request, tensor_request
from adl_tf.serving.prediction import predict_images
from adl_tf.serving.servable import Servable
from adl_tf.serving.warmup import WARMUP_FILE


def expected_logits(network, images, size=None):
    images = normalize(images)
    if size:
        images = resize(images, size)
    return network(images, training=False).numpy()


def assert_same(result, logits):
    assert np.abs(result["logits"] - logits).max() < 1e-3
    assert result["labels"].dtype == np.uint8
    assert np.mean(result["labels"] == logits.argmax(-1)) >= 0.999
    np.testing.assert_allclose(result["probabilities"].sum(-1), 1, atol=1e-5)


def test_loaded_by_the_c_library_it_equals_the_network(export, network, tmp_path):
    small, wide = random_image(57, 75), random_image(41, 90, seed=1)
    encoded = jpeg(small)
    requests = [
        bytes_request([encoded]),
        bytes_request([png(small), png(wide)]),
        tensor_request(np.stack([small, small[::-1]])),
        bytes_request([encoded], signature="serving_xla"),
        tensor_request(small[None], signature="serving_tensor_xla"),
    ]
    one, mixed, tensor, one_xla, tensor_xla = serve(export["export_dir"], requests, tmp_path)
    decoded = tf.io.decode_jpeg(encoded).numpy()
    assert_same(one, expected_logits(network, decoded[None]))
    # The largest height and width of the batch.
    for index, image in enumerate((small, wide)):
        logits = expected_logits(network, image[None], (57, 90))
        assert_same({name: value[index] for name, value in mixed.items()}, logits[0])
    assert_same(tensor, expected_logits(network, np.stack([small, small[::-1]])))
    for compiled, plain in ((one_xla, one["logits"]), (tensor_xla, tensor["logits"][:1])):
        assert np.abs(compiled["logits"] - plain).max() < 1e-4
        assert_same(compiled, plain)


def test_bad_requests_name_their_fault_and_good_ones_still_succeed(export, tmp_path):
    good = png(random_image(33, 40))
    huge = good[:16] + (70000).to_bytes(4, "big") * 2 + good[24:]
    wide = good[:16] + (2**31 + 5).to_bytes(4, "big") * 2 + good[24:]
    long_and_tall = [png(np.zeros([1, 9000, 3], np.uint8)), png(np.zeros([9000, 1, 3], np.uint8))]
    bad = {
        "send at least one": [],
        "image 0 of the batch (counted from 0) is empty": [b""],
        "is neither JPEG nor PNG (9 bytes)": [b"not image"],
        "image 1 of the batch (counted from 0) is neither": [good, b"GIF89a...", good],
        "image 2 of the batch (counted from 0) has 70000 x 70000 pixels": [good, good, huge],
        "image 0 of the batch": [wide],
        "is larger than 16777216 pixels": long_and_tall,
        "Invalid PNG data": [good, good[:-40]],
        "Invalid JPEG data": [b"\xff\xd8\xff\xe0" + 20 * b"a"],
    }
    requests = [bytes_request([good])]
    for images in bad.values():
        requests += [bytes_request(images), bytes_request([good])]
    requests += [tensor_request(np.zeros([0, 8, 8, 3], np.uint8)), bytes_request([good])]
    results = serve(export["export_dir"], requests, tmp_path)
    for message, result in zip(bad, results[1::2]):
        assert isinstance(result, str), message
        assert message in result
    for result in results[2::2]:
        np.testing.assert_array_equal(result["labels"], results[0]["labels"])


def test_export_describes_itself(export):
    assert export["version"] == 1 and export["dtype"] == "float32"
    assert export["batch_norms"] == 0
    assert export["logit_difference"] < 1e-4
    assert export["labels_equal"] > 0.999
    served = tf.saved_model.load(export["export_dir"])
    assert sorted(served.signatures) == export["signatures"]
    classes = served.classes()
    assert [name.decode() for name in classes["names"].numpy()] == list(CLASSES)
    np.testing.assert_array_equal(classes["colors"], COLORS)
    with open(os.path.join(export["export_dir"], "assets", "classes.json")) as file:
        assert json.load(file)["class_names"] == list(CLASSES)


def test_weights_are_stored_once(export, network):
    names = tf.train.load_checkpoint(os.path.join(export["export_dir"], "variables", "variables"))
    sizes = [np.prod(shape) for shape in names.get_variable_to_shape_map().values()]
    weights = sum(np.prod(weight.shape) for weight in network.weights)
    assert sum(sizes) <= 1.001 * weights
    with open(os.path.join(export["export_dir"], "saved_model.pb"), "rb") as file:
        assert len(file.read()) < weights


def test_compiled_body_is_one_cluster(export):
    graph = tf.Graph()
    options = tf.compat.v1.RunOptions(output_partition_graphs=True)
    details = tf.compat.v1.RunMetadata()
    signature = read_signatures(export["export_dir"])["serving_tensor_xla"]
    # As a server runs it, whose graphs are rewritten.
    config = tf.compat.v1.ConfigProto()
    with tf.compat.v1.Session(graph=graph, config=config) as session:
        tf.compat.v1.saved_model.load(session, ["serve"], export["export_dir"])
        images = {signature.inputs["images"].name: random_image(33, 40)[None]}
        session.run(signature.outputs["logits"].name, images, options, details)
    nodes = [node for part in details.partition_graphs for node in part.node]
    calls = [node for node in nodes if node.attr["_XlaMustCompile"].b]
    assert len(calls) == 1
    kinds = {node.op for node in nodes}
    assert not kinds & {"Conv2D", "_FusedConv2D", "DepthwiseConv2dNative", "ResizeBilinear"}


def test_fixed_size_and_low_precision(model_dir, network, tmp_path):
    result = export_network(
        model_dir, str(tmp_path / "out"), batch_size=1, image_size=(65, 81), dtype="bfloat16"
    )
    served = tf.saved_model.load(result["export_dir"])
    tensor = served.signatures["serving_tensor"]
    assert set(tensor.structured_outputs) == {"labels"}
    assert tensor.structured_input_signature[1]["images"].shape == (1, 65, 81, 3)
    weights = tf.train.load_checkpoint(
        os.path.join(result["export_dir"], "variables", "variables")
    ).get_variable_to_dtype_map()
    assert tf.bfloat16 in weights.values()
    image = random_image(120, 77)
    labels = served.signatures["serving_default"](image_bytes=tf.constant([png(image)]))["labels"]
    assert labels.shape == (1, 120, 77)
    logits = resize(expected_logits(network, image[None], (65, 81)), (120, 77))
    assert np.mean(labels == np.argmax(logits, -1)) > 0.95
    assert result["labels_equal"] > 0.95


@pytest.mark.whole
def test_lite_file_stands_alone(model_dir, network, tmp_path):
    with pytest.raises(ValueError, match="give --image_size=H,W"):
        export_network(model_dir, str(tmp_path / "out"), formats=["tflite"])
    assert not (tmp_path / "out").exists()
    result = export_network(
        model_dir, str(tmp_path / "out"), image_size=(65, 81), formats=["saved_model", "tflite"]
    )
    assert result["files"]["network.tflite"]["labels_equal"] >= 0.999
    image = random_image(65, 81)[None]
    np.save(tmp_path / "image.npy", image)
    # In a process with nothing but TensorFlow's interpreter.
    program = f"""
import numpy as np, tensorflow as tf
path = {os.path.join(result["export_dir"], "assets.extra", "network.tflite")!r}
run = tf.lite.Interpreter(model_path=path).get_signature_runner()
labels = run(images=np.load({str(tmp_path / "image.npy")!r}))["labels"]
np.save({str(tmp_path / "labels.npy")!r}, labels)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)
    labels = np.load(tmp_path / "labels.npy")
    assert labels.shape == (1, 65, 81)
    assert np.mean(labels == expected_logits(network, image).argmax(-1)) >= 0.999


@pytest.mark.whole
def test_float16(model_dir, network):
    with precision("float16"):
        body = Body(load_network(model_dir))
    assert body.batch_norms == 0
    image = random_image(65, 81)[None]
    logits = tf.function(body, autograph=False)(normalize(image))
    assert logits.dtype == tf.float32
    assert np.mean(np.argmax(logits, -1) == expected_logits(network, image).argmax(-1)) > 0.97


def test_phases_of_atrous_convolutions_become_one(model_dir):
    """In low precision they are computed in phases on CPU, for training's sake."""
    with precision("float16"):
        bodies = [Body(load_network(model_dir), folded=folded) for folded in (False, True)]
    ops = [{node.op for node in body._graph_def.node} for body in bodies]
    assert ["SpaceToBatchND" in kinds for kinds in ops] == [True, False]


def test_without_folding(network):
    images = normalize(random_image(33, 47)[None])
    kept = Body(network, folded=False)
    assert kept.batch_norms > 0
    logits = tf.function(kept, autograph=False)(images)
    np.testing.assert_allclose(logits, network(images, training=False), atol=1e-4)


def test_resizings_that_change_nothing_are_left_out(network):
    """Those between cells of one stride, whatever the size; of others, none."""
    images = normalize(random_image(50, 71)[None])
    counts = []
    for folded in (False, True):
        body = tf.function(Body(network, folded=folded), autograph=False)
        np.testing.assert_allclose(body(images), network(images, training=False), atol=1e-4)
        operations = body.get_concrete_function(images).graph.get_operations()
        counts.append(sum(operation.type == "ResizeBilinear" for operation in operations))
    assert 0 < counts[1] < counts[0]


def test_warmup_is_not_refused_by_the_export_itself(model_dir, tmp_path):
    result = export_network(model_dir, str(tmp_path / "out"), batch_size=3, max_pixels=1000)
    served = tf.saved_model.load(result["export_dir"])
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record.numpy())
        for record in tf.data.TFRecordDataset(os.path.join(result["export_dir"], WARMUP_FILE))
    ]
    for log in logs:
        request = log.predict_log.request
        inputs = {name: tf.make_ndarray(value) for name, value in request.inputs.items()}
        signature = served.signatures[request.model_spec.signature_name]
        labels = signature(**{name: tf.constant(value) for name, value in inputs.items()})
        assert labels["labels"].shape == (3, 18, 18)  # 3 * 18 * 18 <= 1000.
    with pytest.raises(ValueError, match="takes 3 images at a time, but this program sends one"):
        (tmp_path / "a.png").write_bytes(png(random_image(9, 9)))
        predict_images(result["export_dir"], str(tmp_path / "seen"), [str(tmp_path / "a.png")])


def test_versions_added_by_others_meanwhile_stay(model_dir, tmp_path, monkeypatch):
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / "theirs").touch()
    seen = iter([[], [1]])
    monkeypatch.setattr("adl_tf.serving.versions.versions", lambda _: next(seen))
    assert export_network(model_dir, str(tmp_path))["version"] == 2
    assert os.listdir(tmp_path / "1") == ["theirs"]


def test_compiled_default_and_faults(model_dir, tmp_path):
    body = Body(load_network(model_dir), 1, (33, 33))
    servable = Servable(body, read_classes(model_dir, len(CLASSES)), xla_default=True)
    graph = servable.signatures()["serving_default"].graph.as_graph_def()
    compiled = [f for f in graph.library.function if f.attr["_XlaMustCompile"].b]
    assert len(compiled) == 1

    for outputs in (("label",), ("labels", "scores"), ("logits",), ()):
        with pytest.raises(ValueError, match="choose from labels.*; labels is required"):
            export_network(model_dir, str(tmp_path), outputs=outputs)
    with pytest.raises(FileNotFoundError, match="holds no trained network"):
        export_network(str(tmp_path), str(tmp_path / "out"))
    with pytest.raises(ValueError, match="the network has 3 classes"):
        read_classes(model_dir, 3)
    assert read_classes(str(tmp_path), 2).class_names == ("class 0", "class 1")
    (tmp_path / "classes.json").write_text("[]")
    with pytest.raises(ValueError, match="not a list of classes"):
        read_classes(str(tmp_path), 2)
