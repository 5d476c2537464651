"""Draws a random genotype, optionally with given Multi-Adds.

python -m adl_tf.sample --seed=N --output=FILE [--multi_adds=B --tolerance=T]
"""

import os
from typing import Any, Dict

from absl import flags

from adl_tf.configuration import (
    configured_space,
    define_gin_flags,
    parse_gin,
    run_program,
)
from adl_tf.model_directory import GENOTYPE_FILE
from adl_tf.models.budget import sample_within
from adl_tf.sizes import parse_image_size
from adl_tf.space.genotype import save_genotype


def main() -> Dict[str, Any]:
    """Runs the program on its flags."""
    options = flags.FLAGS
    parse_gin(options.gin_file, options.gin_param)
    sample = sample_within(
        configured_space(),
        options.seed,
        multi_adds=options.multi_adds and options.multi_adds * 1e9,
        tolerance=options.tolerance,
        attempts=options.attempts,
        filter_multiplier=options.filter_multiplier,
        num_classes=options.num_classes,
        image_size=parse_image_size(options.image_size),
    )
    folder = os.path.dirname(options.output)
    if folder:
        os.makedirs(folder, exist_ok=True)
    save_genotype(sample.genotype, options.output, seed=options.seed)
    return {
        **sample.genotype.to_dict(),
        "multi_adds": sample.multi_adds,
        "genotype": options.output,
    }


if __name__ == "__main__":
    define_gin_flags()
    flags.DEFINE_integer("seed", 0, "Random seed.", lower_bound=0)
    flags.DEFINE_string("output", GENOTYPE_FILE, "File to write.")
    flags.DEFINE_float("multi_adds", None, "Target, in billions of Multi-Adds.", lower_bound=1e-6)
    flags.DEFINE_float("tolerance", 0.05, "Allowed relative deviation.", lower_bound=0)
    flags.DEFINE_integer("attempts", 50, "Draws before giving up.", lower_bound=1)
    flags.DEFINE_integer("filter_multiplier", 20, "F of the network.", lower_bound=1)
    flags.DEFINE_integer("num_classes", 19, "Number of classes.", lower_bound=1)
    flags.DEFINE_list("image_size", ["1025", "2049"], "Height and width in pixels.")
    run_program(main)
