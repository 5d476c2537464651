"""Trains the network of a genotype, or a baseline, from scratch or from another run.

python -m adl_tf.train --gin_file=train.gin --genotype=FILE-or-preset --model_dir=DIR
    [--init_from=MODEL_DIR-or-preset]

The same command resumes a run where it stopped.
"""

import os
from typing import Any, Dict, List

from absl import flags

from adl_tf.model_directory import find_network_file
from adl_tf.models.presets import find_model_dir
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
    flags.DEFINE_string("model_dir", os.path.join("runs", "train"), "Directory of the run.")
    flags.DEFINE_string(
        "genotype", None, "Genotype of the decoded network: a file, or the preset auto_deeplab."
    )
    flags.DEFINE_string(
        "init_from", None, "Model directory, or preset, with the weights to start from."
    )


def main() -> Dict[str, Any]:
    """Runs the program on its flags; those not given are left to gin."""
    options = flags.FLAGS
    check_gin_flags(dataset=True)
    if options.genotype is not None:
        from adl_tf.space.genotype import load_genotype  # Without TensorFlow.

        load_genotype(options.genotype)
    if options.init_from is not None:
        find_network_file(find_model_dir(options.init_from))
    with importing():
        from adl_tf.runs.network import RunNetwork
        from adl_tf.runs.training_run import run_training
    parse_gin_flags()
    given = {"genotype": options.genotype, "init_from": options.init_from}
    network = RunNetwork(**{name: value for name, value in given.items() if value is not None})
    return run_training(os.path.expanduser(options.model_dir), network=network)


def next_command(result: Dict[str, Any]) -> List[str]:
    """The command that scores the network."""
    return ["adl_tf.evaluate", f"--model_dir={result['model_dir']}"]


if __name__ == "__main__":
    define_flags()
    run_program(main, next_command)
