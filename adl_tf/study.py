"""Trains many networks under one protocol: random genotypes, known ones, those of searches.

python -m adl_tf.study --gin_file=study.gin [--study_dir=DIR]

The same command again resumes where the last run stopped.
"""

import os
from typing import Any, Dict

from absl import flags

import adl_tf.runs.study_members  # noqa: F401  What a study's gin file refers to.
from adl_tf.configuration import define_gin_flags, parse_gin, run_program
from adl_tf.runs.study import run_study


def main() -> Dict[str, Any]:
    """Runs the program on its flags."""
    options = flags.FLAGS
    parse_gin(options.gin_file, options.gin_param, options.gin_imports)
    return run_study(os.path.expanduser(options.study_dir))


if __name__ == "__main__":
    define_gin_flags()
    flags.DEFINE_string("study_dir", os.path.join("runs", "study"), "Directory of the study.")
    run_program(main)
