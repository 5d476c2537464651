"""Searches for an architecture on a data set and draws it.

python -m adl_tf.search --gin_file=search.gin [--model_dir=DIR]

The same command resumes a run where it stopped.
"""

import os
from typing import Any, Dict, List

from absl import flags

from adl_tf.programs import (
    check_gin_flags,
    define_gin_flags,
    importing,
    parse_gin_flags,
    run_program,
    train_command,
)


def define_flags() -> None:
    """Defines the flags of the program."""
    define_gin_flags()
    flags.DEFINE_string("model_dir", os.path.join("runs", "search"), "Directory of the run.")


def main() -> Dict[str, Any]:
    """Runs the program on its flags."""
    check_gin_flags(dataset=True)
    with importing():
        from adl_tf.searches.method import search
    parse_gin_flags()
    return search(os.path.expanduser(flags.FLAGS.model_dir))


def next_command(result: Dict[str, Any]) -> List[str]:
    """The command that trains what was found."""
    return train_command(result, f"{flags.FLAGS.model_dir}_trained")


if __name__ == "__main__":
    define_flags()
    run_program(main, next_command)
