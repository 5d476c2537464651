"""Trains many networks under one protocol: random genotypes, known ones, those of searches.

python -m adl_tf.study --gin_file=study.gin [--study_dir=DIR]

The same command again resumes where the last run stopped.
"""

import os
from typing import Any, Dict

from absl import flags

from adl_tf.programs import (
    check_gin_flags,
    define_gin_flags,
    importing,
    parse_gin_flags,
    run_program,
)


def define_flags() -> None:
    """Defines the flags of the program."""
    define_gin_flags()
    flags.DEFINE_string("study_dir", os.path.join("runs", "study"), "Directory of the study.")


def main() -> Dict[str, Any]:
    """Runs the program on its flags."""
    check_gin_flags()
    with importing():
        import adl_tf.studies.members  # noqa: F401  What a study's gin file refers to.
        from adl_tf.studies.study import run_study
    parse_gin_flags()
    return run_study(os.path.expanduser(flags.FLAGS.study_dir))


if __name__ == "__main__":
    define_flags()
    run_program(main)
