"""Segments images with an exported network, or one that comes with the package.

python -m adl_tf.predict (--export_dir=DIR | --preset=NAME) --output_dir=DIR IMAGE-or-FOLDER...
    [--scale=0.5 | --scale=training] [--save_probabilities]

Writes OUTPUT_DIR/labels/NAME.png, whose pixels are class ids with a palette, and
OUTPUT_DIR/overlays/NAME.png. Large images are segmented in tiles, with the result of the whole.
"""

import os
from typing import Any, Dict, Sequence, Union

from absl import flags

from adl_tf.models.presets import preset_dir, preset_names
from adl_tf.programs import importing, run_program
from adl_tf.serving.photos import TRAINING, check_paths
from adl_tf.serving.versions import find_export
from adl_tf.sizes import parse_numbers


def define_flags() -> None:
    """Defines the flags of the program."""
    flags.DEFINE_string("export_dir", None, "Directory of an export.")
    flags.DEFINE_string("preset", None, "Name of a network that comes with the package.")
    flags.DEFINE_string("output_dir", None, "Directory of the results.", required=True)
    flags.DEFINE_string(
        "scale",
        "1",
        "Factor by which the network sees images larger; training: as large as its training's.",
    )
    flags.DEFINE_bool(
        "save_probabilities", False, "Also OUTPUT_DIR/probabilities/NAME.npy, [H, W, classes]."
    )


def main(paths: Sequence[str]) -> Dict[str, Any]:
    """Runs the program on its flags and arguments."""
    options = flags.FLAGS
    if bool(options.export_dir) == bool(options.preset):
        raise ValueError(
            f"give either --export_dir or --preset; the presets are: {', '.join(preset_names())}."
        )
    scale = _parse_scale(options.scale)
    check_paths(paths)
    if options.preset:
        preset_dir(options.preset)
    else:
        find_export(os.path.expanduser(options.export_dir))
    output_dir = os.path.expanduser(options.output_dir)
    with importing():
        from adl_tf.serving.prediction import load_preset, predict_images
    source = os.path.expanduser(options.export_dir or "")
    return predict_images(
        load_preset(options.preset) if options.preset else source,
        output_dir,
        paths,
        scale,
        options.save_probabilities,
    )


def _parse_scale(text: str) -> Union[float, str]:
    if text == TRAINING:
        return text
    (scale,) = parse_numbers("scale", [text], float)
    if not 1e-3 <= scale <= 1e3:
        raise ValueError(f"--scale={text}: give a factor above 0, such as 0.5, or {TRAINING}.")
    return scale


if __name__ == "__main__":
    define_flags()
    run_program(main, arguments=True)
