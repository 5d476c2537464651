"""Segments images with an exported network, or one that comes with the package.

python -m adl_tf.predict (--export_dir=DIR | --preset=NAME) --output_dir=DIR IMAGE-or-FOLDER...

Writes OUTPUT_DIR/labels/NAME.png, whose pixels are class ids with a palette, and
OUTPUT_DIR/overlays/NAME.png.
"""

import os
from typing import Any, Dict, Sequence

from absl import flags

from adl_tf.models.presets import preset_dir, preset_names
from adl_tf.programs import importing, run_program
from adl_tf.serving.photos import find_images
from adl_tf.serving.versions import find_export


def define_flags() -> None:
    """Defines the flags of the program."""
    flags.DEFINE_string("export_dir", None, "Directory of an export.")
    flags.DEFINE_string("preset", None, "Name of a network that comes with the package.")
    flags.DEFINE_string("output_dir", None, "Directory of the results.", required=True)


def main(paths: Sequence[str]) -> Dict[str, Any]:
    """Runs the program on its flags and arguments."""
    options = flags.FLAGS
    if bool(options.export_dir) == bool(options.preset):
        raise ValueError(
            f"give either --export_dir or --preset; the presets are: {', '.join(preset_names())}."
        )
    find_images(paths)
    if options.preset:
        preset_dir(options.preset)
    else:
        find_export(os.path.expanduser(options.export_dir))
    output_dir = os.path.expanduser(options.output_dir)
    with importing():
        from adl_tf.serving.prediction import load_preset, predict_images
    if options.preset:
        return predict_images(load_preset(options.preset), output_dir, paths)
    return predict_images(os.path.expanduser(options.export_dir), output_dir, paths)


if __name__ == "__main__":
    define_flags()
    run_program(main, arguments=True)
