"""Searches for an architecture on a data set and draws it.

python -m adl_tf.search --gin_file=search.gin [--model_dir=DIR]

The same command resumes a run where it stopped.
"""

import os
from typing import Any, Callable, Dict

import gin
from absl import flags

from adl_tf.configuration import define_gin_flags, parse_gin, run_program
from adl_tf.runs.sampled_search import run_sampled_search  # noqa: F401  Gin files refer to it.
from adl_tf.runs.search_run import run_search


@gin.configurable
def search(model_dir: str, method: Callable[..., Dict[str, Any]] = run_search) -> Dict[str, Any]:
    """Searches.

    Args:
      model_dir: directory of everything that is written.
      method: `run_search` or `run_sampled_search`, or a function of your own; returns what the
        program prints.
    """
    return method(model_dir)


def main() -> Dict[str, Any]:
    """Runs the program on its flags."""
    parse_gin(flags.FLAGS.gin_file, flags.FLAGS.gin_param)
    return search(os.path.expanduser(flags.FLAGS.model_dir))


if __name__ == "__main__":
    define_gin_flags()
    flags.DEFINE_string("model_dir", os.path.join("runs", "search"), "Directory of the run.")
    run_program(main)
