"""Searches for an architecture on a data set and draws it.

python -m adl_tf.search --gin_file=search.gin [--model_dir=DIR]

The same command resumes a run where it stopped.
"""

import os
from typing import Any, Dict, List

from absl import flags

from adl_tf.configuration import define_gin_flags, parse_gin, run_program, train_command
from adl_tf.searches.method import search


def main() -> Dict[str, Any]:
    """Runs the program on its flags."""
    options = flags.FLAGS
    parse_gin(options.gin_file, options.gin_param, options.gin_imports)
    return search(os.path.expanduser(options.model_dir))


def then(result: Dict[str, Any]) -> List[str]:
    """The command that trains what was found."""
    return train_command(result, f"{flags.FLAGS.model_dir}_trained")


if __name__ == "__main__":
    define_gin_flags()
    flags.DEFINE_string("model_dir", os.path.join("runs", "search"), "Directory of the run.")
    run_program(main, then=then)
