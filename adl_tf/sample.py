"""Draws a random genotype, optionally with given Multi-Adds.

python -m adl_tf.sample --seed=N --output=FILE [--multi_adds=B --tolerance=T]
"""

import os
from typing import Any, Dict, List

from absl import flags

from adl_tf.model_directory import GENOTYPE_FILE
from adl_tf.programs import (
    check_gin_flags,
    define_gin_flags,
    importing,
    parse_gin_flags,
    run_program,
    train_command,
)
from adl_tf.sizes import parse_image_size


def define_flags() -> None:
    """Defines the flags of the program."""
    define_gin_flags()
    flags.DEFINE_integer("seed", 0, "Random seed.", lower_bound=0)
    flags.DEFINE_string("output", GENOTYPE_FILE, "File to write.")
    flags.DEFINE_float("multi_adds", None, "Target, in billions of Multi-Adds.", lower_bound=1e-6)
    flags.DEFINE_float("tolerance", 0.05, "Allowed relative deviation.", lower_bound=0)
    flags.DEFINE_integer("attempts", 1000, "Draws before giving up.", lower_bound=1)
    flags.DEFINE_integer("filter_multiplier", 20, "F of the network.", lower_bound=1)
    flags.DEFINE_integer("num_classes", 19, "Number of classes.", lower_bound=1)
    flags.DEFINE_list("image_size", ["1025", "2049"], "Height and width in pixels.")


def main() -> Dict[str, Any]:
    """Runs the program on its flags."""
    options = flags.FLAGS
    image_size = parse_image_size(options.image_size)
    check_gin_flags()
    with importing():
        import numpy as np

        # A search's and a training's gin files bind what these define.
        import adl_tf.runs.training_run  # noqa: F401
        from adl_tf.configuration import configured_sizes, configured_space
        from adl_tf.space.costs import network_cost
        from adl_tf.space.genotype import save_genotype
        from adl_tf.space.sampling import sample_genotype, sample_within
    parse_gin_flags()
    space, sizes = configured_space(), configured_sizes()

    def cost(genotype):
        return network_cost(
            genotype, options.filter_multiplier, options.num_classes, image_size, sizes
        )

    def billions(genotype):
        return cost(genotype).total.multi_adds / 1e9

    random = np.random.default_rng(options.seed)
    if options.multi_adds is None:
        genotype = sample_genotype(space, random)
    else:
        draws = sample_within(
            space, random, billions, options.multi_adds, options.tolerance, options.attempts
        )
        try:
            genotype = next(draws)
        except ValueError as error:
            raise ValueError(f"--multi_adds, in billions: {error}") from error
    folder = os.path.dirname(options.output)
    if folder:
        os.makedirs(folder, exist_ok=True)
    save_genotype(genotype, options.output, seed=options.seed)
    return {
        **genotype.to_dict(),
        **cost(genotype).summary(),
        "filter_multiplier": options.filter_multiplier,
        "genotype": options.output,
    }


def next_command(result: Dict[str, Any]) -> List[str]:
    """The command that trains what was drawn."""
    directory = os.path.join("runs", "random")
    return train_command(result, directory)


if __name__ == "__main__":
    define_flags()
    run_program(main, next_command)
