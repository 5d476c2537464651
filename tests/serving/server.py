"""A stand-in for TensorFlow Serving, which pip cannot install: its requests, its loader."""

import os
import pickle
import subprocess
import sys

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

LIBRARY = os.path.join(os.path.dirname(tf.__file__), "libtensorflow_cc.so.2")
LOADER = os.path.join(os.path.dirname(__file__), "c_loader.py")


def read_signatures(export_dir):
    """The signatures of an export, as its file holds them."""
    with open(os.path.join(export_dir, "saved_model.pb"), "rb") as file:
        saved = saved_model_pb2.SavedModel.FromString(file.read())
    return saved.meta_graphs[0].signature_def


def serve(export_dir, requests, tmp_path):
    """Results of PredictRequests by name of the output, or the text of the error.

    All are run, one after the other, by one process that knows TensorFlow's C library only.
    """
    signatures = read_signatures(export_dir)
    calls, names = [], []
    for request in requests:
        signature = signatures[request.model_spec.signature_name]
        inputs = {
            signature.inputs[name].name: tensor.SerializeToString()
            for name, tensor in request.inputs.items()
        }
        names.append(list(signature.outputs))
        calls.append((inputs, [signature.outputs[name].name for name in names[-1]]))
    (tmp_path / "requests").write_bytes(pickle.dumps(calls))
    files = [str(tmp_path / name) for name in ("requests", "results")]
    process = subprocess.run(
        [sys.executable, LOADER, LIBRARY, export_dir, *files],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert process.returncode == 0, process.stderr[-2000:]
    results = pickle.loads((tmp_path / "results").read_bytes())
    return [
        result if isinstance(result, str) else dict(zip(outputs, result))
        for outputs, result in zip(names, results)
    ]
