"""Decodes the newest checkpoint of a search by gradients into a genotype and pictures.

python -m adl_tf.decode --model_dir=DIR [--output=FILE]

As in the paper: the most probable path, and of each block the two strongest edges with their
strongest ops. What a search found in the end, by training what it proposed, stays in its
genotype.json.
"""

import os
from typing import Any, Dict, List

from absl import flags

from adl_tf.model_directory import SPACE_FILE
from adl_tf.programs import importing, run_program, train_command


def define_flags() -> None:
    """Defines the flags of the program."""
    flags.DEFINE_string("model_dir", None, "Directory of a search.", required=True)
    flags.DEFINE_string("output", None, "Genotype file to write [MODEL_DIR/decoded/genotype.json].")


def main() -> Dict[str, Any]:
    """Runs the program on its flags."""
    options = flags.FLAGS
    model_dir = os.path.expanduser(options.model_dir)
    if not os.path.exists(os.path.join(model_dir, SPACE_FILE)):
        raise FileNotFoundError(f"{model_dir}: no search there.")
    with importing():
        from adl_tf.searches.result import decode_search
    return decode_search(model_dir, options.output)


def next_command(result: Dict[str, Any]) -> List[str]:
    """The command that trains what was decoded."""
    model_dir = os.path.expanduser(flags.FLAGS.model_dir)
    return train_command(result, f"{model_dir}_trained")


if __name__ == "__main__":
    define_flags()
    run_program(main, next_command)
