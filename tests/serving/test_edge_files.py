"""Files for other runtimes: what is written, how it is checked, what is refused."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf
from processes import run

from adl_tf.data.reader import RecordReader
from adl_tf.models.registry import NetworkDescription, build_network, write_network_description
from adl_tf.models.trained_on import write_run
from adl_tf.serving import edge_check, edge_files, export
from adl_tf.serving.edge_check import (
    Samples,
    check_edge,
    fault_of,
    label_samples,
    read_samples,
)
from adl_tf.serving.export import export_network
from adl_tf.space.genotype import Genotype
from data_prep import convert_synthetic

GENOTYPE = Genotype((0, 1), [[(0, "sep_conv_3x3"), (1, "atrous_conv_3x3")]])
SIZE = (33, 49)


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory):
    """A network with random weights, and the streets that it claims to be trained on."""
    root = tmp_path_factory.mktemp("edges")
    data, directory = str(root / "streets"), str(root / "model")
    convert_synthetic.build(data, num_train=6, num_val=3, height=32, width=48)
    description = RecordReader(data, "train").description
    network = build_network(NetworkDescription("decoded", description.num_classes, GENOTYPE, 2))
    random = np.random.default_rng(0)
    for weight in network.weights:
        weight.assign(random.uniform(0.5, 1.5, weight.shape))
    os.makedirs(os.path.join(directory, "best"))
    write_network_description(
        NetworkDescription("decoded", description.num_classes, GENOTYPE, 2), directory
    )
    tf.train.Checkpoint(network=network).write(os.path.join(directory, "best", "weights-1"))
    write_run(directory, data, description)
    return directory


def test_tflite_in_floats_and_in_integers(model_dir, tmp_path):
    result = export_network(
        model_dir, str(tmp_path), image_size=SIZE, formats=["saved_model", "tflite"], int8=True
    )
    files = result["files"]
    assert files["network.tflite"]["labels_equal"] >= 0.999
    assert files["network.tflite"]["miou"] == pytest.approx(
        files["network.tflite"]["float_miou"], abs=1e-3
    )
    folder = os.path.join(result["export_dir"], edge_files.FOLDER)
    if "failed" not in result:  # Random weights may not survive; then the file is not there.
        sizes = [os.path.getsize(os.path.join(folder, name)) for name in sorted(files)]
        assert sizes[1] < sizes[0]
    else:
        assert "network_int8.tflite" not in os.listdir(folder)


def test_a_file_that_labels_otherwise_is_left_out(model_dir, tmp_path, monkeypatch, capfd):
    checked = {"labels_equal": 0.5, "miou": 0.1, "float_miou": 0.3, "seconds": 1.0}
    monkeypatch.setattr(export, "check_edge", lambda *_: checked)
    write = export.write_edge

    def write_two(*arguments):
        path = write(*arguments)
        with open(os.path.join(os.path.dirname(path), "network.onnx"), "wb"):
            pass  # Of another format, which must stay.
        return path

    monkeypatch.setattr(export, "write_edge", write_two)
    result = export_network(model_dir, str(tmp_path), image_size=SIZE, formats=["tflite"])
    (line,) = result["failed"]
    assert "network.tflite: it labels only 50.00% of the pixels" in line and not result["files"]
    told = capfd.readouterr().err
    assert "network.tflite is left out: it labels only 50.00% of the pixels" in told
    assert "network.tflite is checked" in told and "100%|" in told  # What is done, what is left.
    left = os.listdir(os.path.join(result["export_dir"], edge_files.FOLDER))
    assert [name for name in left if name.startswith("network")] == ["network.onnx"]


def test_faults():
    good = {"labels_equal": 0.9995, "miou": 0.5, "float_miou": 0.505}
    assert fault_of(good, int8=False) is None and fault_of(good, int8=True) is None
    worse = {"labels_equal": 0.99, "miou": 0.49, "float_miou": 0.505}
    assert "99.00%" in fault_of(worse, int8=False)
    assert fault_of(worse, int8=True) == "its mIoU is 49.0% instead of 50.5%"


@pytest.mark.parametrize(
    "options, message",
    [
        ({"formats": ["tf_lite"]}, "choose from saved_model, tflite, onnx, openvino"),
        ({"formats": ["onnx"], "image_size": None}, "give --image_size=H,W"),
        ({"formats": ["tflite"], "dtype": "bfloat16"}, "leave --dtype out"),
        ({"formats": ["onnx"], "int8": True}, "--formats=tflite or openvino"),
        ({"formats": ["tflite"], "batch_size": 2}, "leave --batch_size out"),
    ],
)
def test_what_cannot_be_written(model_dir, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        export_network(model_dir, str(tmp_path / "out"), **{"image_size": SIZE, **options})
    assert not (tmp_path / "out").exists()


def test_integers_need_the_images(model_dir, tmp_path, monkeypatch):
    monkeypatch.setattr(edge_check, "read_run", lambda _: {})
    with pytest.raises(ValueError, match="--int8 quantizes by the training images"):
        export_network(model_dir, str(tmp_path), image_size=SIZE, formats=["tflite"], int8=True)


def test_missing_libraries_are_named(model_dir, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "tf2onnx", None)
    with pytest.raises(ValueError, match=r"pip install 'adl-tf\[onnx\]'"):
        export_network(model_dir, str(tmp_path), image_size=SIZE, formats=["onnx"])
    assert not os.listdir(tmp_path)


def test_samples_come_from_all_over_the_split(model_dir):
    samples = read_samples(model_dir, "train", (16, 24), 3)
    assert samples.images.shape == (3, 16, 24, 3) and samples.images.dtype == np.uint8
    assert samples.labels.shape == (3, 16, 24)
    assert len(read_samples(model_dir, "val", (16, 24), 50).images) == 3


def test_a_file_that_does_not_run_is_named(tmp_path):
    broken = tmp_path / "network.tflite"
    broken.write_bytes(b"broken")
    samples = Samples(np.zeros((1, 4, 4, 3), np.uint8), None)
    function = tf.function(lambda images: {"labels": tf.zeros([1, 4, 4], tf.int32)})
    with pytest.raises(ValueError, match="network.tflite: does not run"):
        check_edge(str(broken), label_samples(function, samples), samples, 2)


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_other_runtimes(name, model_dir, tmp_path):
    """In a process of its own: the libraries are extras."""
    pytest.importorskip("tf2onnx")
    pytest.importorskip({"onnx": "onnxruntime", "openvino": "openvino"}[name])
    process = run(
        [
            *("-m", "adl_tf.export", f"--model_dir={model_dir}", f"--output_dir={tmp_path}"),
            *("--image_size=33,49", f"--formats={name}"),
        ],
        tmp_path,
    )
    assert process.returncode == 0, process.stderr
    result = json.loads(process.stdout.splitlines()[-1])
    (scores,) = result["files"].values()
    assert scores["labels_equal"] >= 0.999
