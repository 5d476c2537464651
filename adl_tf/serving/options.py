"""Options of an export, checked without TensorFlow."""

import importlib.util
from typing import Optional, Sequence, Tuple

OUTPUTS = ("labels", "probabilities", "logits")
DTYPES = ("float32", "bfloat16", "float16")
SAVED_MODEL = "saved_model"
# Written beside it; those that can hold 8-bit integers too.
FILE_FORMATS = ("tflite", "onnx", "openvino")
# Of a format, the library that the extra of the same name brings.
_LIBRARIES = {"onnx": "tf2onnx", "openvino": "openvino"}
INT8_FORMATS = ("tflite", "openvino")
# Of the images that a server decodes: enough for photographs, too small to fill its memory.
MAX_PIXELS = 2**24


def check_options(
    batch_size: Optional[int],
    image_size: Optional[Tuple[int, int]],
    dtype: str,
    outputs: Sequence[str],
    formats: Sequence[str],
    int8: bool,
) -> None:
    """Checks options of `export_network` that do not go together.

    Raises:
      ValueError: unknown outputs or formats, files that need other options, or a library that is
        not installed.
    """
    unknown = [name for name in outputs if name not in OUTPUTS]
    if unknown or "labels" not in outputs:
        raise ValueError(
            f"outputs {list(outputs)}: choose from {', '.join(OUTPUTS)}; labels is required."
        )
    unknown = [name for name in formats if name not in (SAVED_MODEL, *FILE_FORMATS)]
    if unknown:
        raise ValueError(
            f"formats {unknown}: choose from {', '.join((SAVED_MODEL, *FILE_FORMATS))}."
        )
    files = [name for name in formats if name != SAVED_MODEL]
    if files and (image_size is None or dtype != "float32"):
        raise ValueError(
            f"{', '.join(files)}: such files need a fixed image size and float32: give "
            "--image_size=H,W and leave --dtype out."
        )
    if files and batch_size not in (None, 1):
        raise ValueError(f"{', '.join(files)}: such files take one image; leave --batch_size out.")
    if int8 and not any(name in INT8_FORMATS for name in files):
        raise ValueError("--int8 needs a format that has it: --formats=tflite or openvino.")
    for name in files:
        library = _LIBRARIES.get(name)
        if library and importlib.util.find_spec(library) is None:
            raise ValueError(f"--formats={name}: no {library}; pip install 'adl-tf[{name}]'.")
