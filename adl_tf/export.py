"""Exports a trained network as a SavedModel for TensorFlow Serving.

python -m adl_tf.export --model_dir=DIR --output_dir=DIR [--image_size=H,W --batch_size=N]
    [--dtype=float32|bfloat16|float16] [--outputs=labels,probabilities,logits]
    [--xla=auto|on|off] [--formats=saved_model,tflite,onnx,openvino] [--int8]

Each run adds a version, OUTPUT_DIR/1, OUTPUT_DIR/2, ...
"""

import os
from typing import Any, Dict, List

from absl import flags

from adl_tf.model_directory import find_network_file
from adl_tf.programs import importing, run_program
from adl_tf.serving.options import (
    DTYPES,
    FILE_FORMATS,
    MAX_PIXELS,
    OUTPUTS,
    SAVED_MODEL,
    check_options,
)
from adl_tf.sizes import parse_image_size


def define_flags() -> None:
    """Defines the flags of the program."""
    flags.DEFINE_string("model_dir", None, "Directory of a training run.", required=True)
    flags.DEFINE_string("output_dir", None, "Directory that holds the versions.", required=True)
    flags.DEFINE_string("checkpoint", "best", "best, last, or path of a checkpoint.")
    flags.DEFINE_integer("batch_size", None, "Images per request [any].", lower_bound=1)
    flags.DEFINE_list("image_size", None, "Height and width of the network's input [any].")
    flags.DEFINE_enum("dtype", "float32", DTYPES, "Compute dtype of the network.")
    flags.DEFINE_list("outputs", ["labels"], f"Outputs, from {', '.join(OUTPUTS)}.")
    flags.DEFINE_enum("xla", "auto", ["auto", "on", "off"], "Whether serving_default is compiled.")
    flags.DEFINE_integer("max_pixels", MAX_PIXELS, "Largest image, in pixels.", lower_bound=1)
    names = ", ".join((SAVED_MODEL, *FILE_FORMATS))
    flags.DEFINE_list("formats", [SAVED_MODEL], f"What to write, from {names}.")
    flags.DEFINE_bool("int8", False, "Also files of 8-bit integers, of tflite and openvino.")


def main() -> Dict[str, Any]:
    """Runs the program on its flags."""
    options = flags.FLAGS
    image_size = parse_image_size(options.image_size) if options.image_size else None
    chosen = {
        "batch_size": options.batch_size,
        "image_size": image_size,
        "dtype": options.dtype,
        "outputs": options.outputs,
        "formats": options.formats,
        "int8": options.int8,
    }
    check_options(**chosen)
    find_network_file(options.model_dir)
    with importing():
        from adl_tf.serving.export import export_network
    return export_network(
        os.path.expanduser(options.model_dir),
        os.path.expanduser(options.output_dir),
        checkpoint=os.path.expanduser(options.checkpoint),
        xla=options.xla,
        max_pixels=options.max_pixels,
        **chosen,
    )


def next_command(result: Dict[str, Any]) -> List[str]:
    """The command that uses the export."""
    export = f"--export_dir={result['export_dir']}"
    return ["adl_tf.predict", export, "--output_dir=predictions", "IMAGE-or-FOLDER"]


if __name__ == "__main__":
    define_flags()
    run_program(main, next_command)
