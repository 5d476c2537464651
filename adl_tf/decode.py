"""Decodes the newest checkpoint of a search into genotype.json and pictures.

python -m adl_tf.decode --model_dir=DIR [--output=FILE]
"""

import os
from typing import Any, Dict

from absl import flags

from adl_tf.configuration import run_program
from adl_tf.runs.search_result import decode_search


def main() -> Dict[str, Any]:
    """Runs the program on its flags."""
    return decode_search(os.path.expanduser(flags.FLAGS.model_dir), flags.FLAGS.output)


if __name__ == "__main__":
    flags.DEFINE_string("model_dir", None, "Directory of a search.", required=True)
    flags.DEFINE_string("output", None, "Genotype file to write [MODEL_DIR/genotype.json].")
    run_program(main)
