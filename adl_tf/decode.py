"""Decodes the newest checkpoint of a search by gradients into a genotype and pictures.

python -m adl_tf.decode --model_dir=DIR [--output=FILE]

As in the paper: the most probable path, and of each block the two strongest edges with their
strongest ops. What a search found in the end, by training what it proposed, stays in its
genotype.json.
"""

import os
from typing import Any, Dict, List

from absl import flags

from adl_tf.configuration import run_program, train_command
from adl_tf.searches.result import decode_search


def main() -> Dict[str, Any]:
    """Runs the program on its flags."""
    options = flags.FLAGS
    return decode_search(os.path.expanduser(options.model_dir), options.output)


def then(result: Dict[str, Any]) -> List[str]:
    """The command that trains what was decoded."""
    model_dir = os.path.expanduser(flags.FLAGS.model_dir)
    return train_command(result, f"{model_dir}_trained")


if __name__ == "__main__":
    flags.DEFINE_string("model_dir", None, "Directory of a search.", required=True)
    flags.DEFINE_string("output", None, "Genotype file to write [MODEL_DIR/decoded/genotype.json].")
    run_program(main, then=then)
