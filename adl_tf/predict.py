"""Segments images with an exported network, without a server.

python -m adl_tf.predict --export_dir=DIR --output_dir=DIR IMAGE-or-FOLDER...

Writes OUTPUT_DIR/labels/NAME.png, whose pixels are class ids with a palette, and
OUTPUT_DIR/overlays/NAME.png.
"""

import os
from typing import Any, Dict, Sequence

from absl import flags

from adl_tf.configuration import run_program  # isort: skip

from adl_tf.serving.prediction import predict_images


def main(paths: Sequence[str]) -> Dict[str, Any]:
    """Runs the program on its flags and arguments."""
    options = flags.FLAGS
    return predict_images(
        os.path.expanduser(options.export_dir), os.path.expanduser(options.output_dir), paths
    )


if __name__ == "__main__":
    flags.DEFINE_string("export_dir", None, "Directory of an export.", required=True)
    flags.DEFINE_string("output_dir", None, "Directory of the results.", required=True)
    run_program(main, arguments=True)
