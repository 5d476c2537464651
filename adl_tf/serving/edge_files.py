"""The network as files for phones, boards and other runtimes, in float and in 8-bit integers.

Each maps `images`, uint8 [B, H, W, 3], to `labels`, int32 [B, H, W], for one size.
"""

import os
import tempfile
from typing import Callable, Dict, NamedTuple, Optional

import numpy as np
import tensorflow as tf

from adl_tf.data.normalization import normalize
from adl_tf.serving.body import Body

FOLDER = "assets.extra"
_INPUT, _OUTPUT = "images", "labels"
# Operators of ONNX that its runtimes have had for years.
_OPSET = 17


Function = tf.types.experimental.GenericFunction


class Format(NamedTuple):
    """One kind of file.

    Attributes:
      file: its name.
      int8_file: that of the quantized network; None where there is none.
      write: writes it, given the body, its function, the path, and images that are typical,
        uint8 [N, H, W, 3], to quantize by; None leaves floats.
      extra: the extra of this package that installs its libraries.
    """

    file: str
    int8_file: Optional[str]
    write: Callable[[Body, Function, str, Optional[np.ndarray]], None]
    extra: Optional[str]


def labels_of(body: Body) -> Function:
    """The function that the files hold."""
    batch, *rest = body.spec.shape
    spec = tf.TensorSpec([batch or 1, *rest], tf.uint8, name=_INPUT)
    return tf.function(
        lambda images: {_OUTPUT: tf.argmax(body(normalize(images)), -1, tf.int32)},
        input_signature=[spec],
        autograph=False,
    )


def _write_lite(body, function, path: str, typical: Optional[np.ndarray]) -> None:
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [function.get_concrete_function()], body
    )
    if typical is not None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ({_INPUT: image[None]} for image in typical)
    _write(converter.convert(), path)


def _write_onnx(body, function, path: str, typical: Optional[np.ndarray]) -> None:
    del body, typical
    _write(_to_onnx(function), path)


def _to_onnx(function) -> bytes:
    import tf2onnx  # An extra of the package, as below.

    model, _ = tf2onnx.convert.from_function(
        function, input_signature=function.input_signature, opset=_OPSET
    )
    _raise_scales(model.graph)
    return model.SerializeToString()


def _raise_scales(graph) -> None:
    """Makes scales of resizing a little larger than their float32.

    The size of the result is the floor of size times scale: 25 * float32(13 / 25) is below 13.
    """
    from onnx import numpy_helper

    scales = {node.input[2] for node in graph.node if node.op_type == "Resize"}
    for tensor in graph.initializer:
        if tensor.name in scales:
            values = numpy_helper.to_array(tensor)
            raised = np.where(values == 1, values, values * np.float32(1 + 1e-6))
            tensor.CopyFrom(numpy_helper.from_array(raised, tensor.name))


def _write_openvino(body, function, path: str, typical: Optional[np.ndarray]) -> None:
    import openvino

    del body
    with tempfile.TemporaryDirectory() as folder:
        # By way of ONNX: it reads no depthwise kernels with explicit padding from TensorFlow.
        file = os.path.join(folder, "network.onnx")
        _write(_to_onnx(function), file)
        model = openvino.convert_model(file)
    if typical is not None:
        import nncf

        # Relu networks have activations on one side of zero.
        model = nncf.quantize(
            model,
            nncf.Dataset([image[None] for image in typical]),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(typical),
        )
    openvino.save_model(model, path, compress_to_fp16=False)


def _write(content: bytes, path: str) -> None:
    with open(path, "wb") as file:
        file.write(content)


FORMATS: Dict[str, Format] = {
    "tflite": Format("network.tflite", "network_int8.tflite", _write_lite, None),
    "onnx": Format("network.onnx", None, _write_onnx, "onnx"),
    "openvino": Format("network.xml", "network_int8.xml", _write_openvino, "openvino"),
}


def write_edge(
    name: str,
    body: Body,
    function: Function,
    export_dir: str,
    typical: Optional[np.ndarray] = None,
) -> str:
    """Writes one file of an export; returns its path.

    Args:
      name: a key of `FORMATS`.
      body: float32 network for one image size.
      function: see `labels_of`.
      export_dir: gets it, in the folder `FOLDER`.
      typical: images to quantize by, uint8 [N, H, W, 3]; None leaves floats.

    Raises:
      ValueError: a library is not installed, or there is no such file.
    """
    kind = FORMATS[name]
    file = kind.file if typical is None else kind.int8_file
    if file is None:
        raise ValueError(f"{name} has no 8-bit file here; choose tflite or openvino for --int8.")
    folder = os.path.join(export_dir, FOLDER)
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, file)
    try:
        kind.write(body, function, path, typical)
    except ImportError as error:
        raise ValueError(
            f"--formats={name}: {error}; pip install 'adl-tf[{kind.extra}]'."
        ) from error
    return path
