"""Segments images with an exported network, or one that comes with the package.

python -m adl_tf.predict (--export_dir=DIR | --preset=NAME) --output_dir=DIR IMAGE-or-FOLDER...

Writes OUTPUT_DIR/labels/NAME.png, whose pixels are class ids with a palette, and
OUTPUT_DIR/overlays/NAME.png.
"""

import os
from typing import Any, Dict, Sequence

from absl import flags

from adl_tf.configuration import run_program  # isort: skip

from adl_tf.models.presets import preset_names
from adl_tf.serving.prediction import load_preset, predict_images


def main(paths: Sequence[str]) -> Dict[str, Any]:
    """Runs the program on its flags and arguments."""
    options = flags.FLAGS
    if bool(options.export_dir) == bool(options.preset):
        raise ValueError(
            f"give either --export_dir or --preset; the presets are: {', '.join(preset_names())}."
        )
    output_dir = os.path.expanduser(options.output_dir)
    if options.preset:
        return predict_images(load_preset(options.preset), output_dir, paths)
    return predict_images(os.path.expanduser(options.export_dir), output_dir, paths)


if __name__ == "__main__":
    flags.DEFINE_string("export_dir", None, "Directory of an export.")
    flags.DEFINE_string("preset", None, "Name of a network that comes with the package.")
    flags.DEFINE_string("output_dir", None, "Directory of the results.", required=True)
    run_program(main, arguments=True)
