"""Trains the network of a genotype, or a baseline, from scratch or from another run.

python -m adl_tf.train --gin_file=train.gin --genotype=FILE-or-preset --model_dir=DIR
    [--init_from=MODEL_DIR-or-preset]

The same command resumes a run where it stopped.
"""

import os
from typing import Any, Dict, List

from absl import flags

from adl_tf.configuration import define_gin_flags, parse_gin, run_program
from adl_tf.runs.network import RunNetwork
from adl_tf.runs.training_run import run_training


def main() -> Dict[str, Any]:
    """Runs the program on its flags; those not given are left to gin."""
    options = flags.FLAGS
    parse_gin(options.gin_file, options.gin_param, options.gin_imports)
    given = {"genotype": options.genotype, "init_from": options.init_from}
    network = RunNetwork(**{name: value for name, value in given.items() if value is not None})
    return run_training(os.path.expanduser(options.model_dir), network=network)


def then(result: Dict[str, Any]) -> List[str]:
    """The command that scores the network."""
    return ["adl_tf.evaluate", f"--model_dir={result['model_dir']}"]


if __name__ == "__main__":
    define_gin_flags()
    flags.DEFINE_string("model_dir", os.path.join("runs", "train"), "Directory of the run.")
    flags.DEFINE_string(
        "genotype", None, "Genotype of the decoded network: a file, or the preset auto_deeplab."
    )
    flags.DEFINE_string(
        "init_from", None, "Model directory, or preset, with the weights to start from."
    )
    run_program(main, then=then)
