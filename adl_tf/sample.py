"""Draws a random genotype, by choice with given Multi-Adds.

python -m adl_tf.sample --seed=N --output=FILE [--multi_adds=B --tolerance=T]
"""

import os
import sys
from typing import Any, Dict

from absl import flags

from adl_tf.configuration import define_gin_flags, parse_gin, run_program  # isort: skip

import gin
import numpy as np
import tensorflow as tf

from adl_tf.models.counting import count_multi_adds
from adl_tf.models.decoded import DecodedNetwork
from adl_tf.sizes import parse_image_size
from adl_tf.space.genotype import save_genotype
from adl_tf.space.sampling import sample_genotype
from adl_tf.space.search_space import SearchSpace

_configured_space = gin.external_configurable(SearchSpace)


def main() -> Dict[str, Any]:
    """Runs the program on its flags."""
    options = flags.FLAGS
    parse_gin(options.gin_file, options.gin_param)
    space = _configured_space()
    image_size = parse_image_size(options.image_size)
    random = np.random.default_rng(options.seed)
    nearest = None
    for attempt in range(options.attempts):
        genotype = sample_genotype(space, random)
        tf.keras.backend.clear_session()
        network = DecodedNetwork(genotype, options.filter_multiplier, options.num_classes)
        multi_adds = sum(count_multi_adds(network, image_size).values())
        if options.multi_adds is None:
            break
        distance = abs(multi_adds / (options.multi_adds * 1e9) - 1)
        print(f"{attempt + 1}: {multi_adds / 1e9:.2f} billion Multi-Adds", file=sys.stderr)
        if distance <= options.tolerance:
            break
        if nearest is None or distance < nearest[0]:
            nearest = distance, multi_adds
    else:
        raise ValueError(
            f"none of {options.attempts} genotypes is within {options.tolerance:.0%} of "
            f"{options.multi_adds:g} billion Multi-Adds; the nearest has {nearest[1] / 1e9:.2f}: "
            "change --filter_multiplier, --tolerance or --attempts."
        )
    folder = os.path.dirname(options.output)
    if folder:
        os.makedirs(folder, exist_ok=True)
    save_genotype(genotype, options.output, seed=options.seed)
    return {**genotype.to_dict(), "multi_adds": multi_adds, "genotype": options.output}


if __name__ == "__main__":
    define_gin_flags()
    flags.DEFINE_integer("seed", 0, "Of the draw.", lower_bound=0)
    flags.DEFINE_string("output", "genotype.json", "File to write.")
    flags.DEFINE_float("multi_adds", None, "Billions of Multi-Adds wanted.", lower_bound=1e-6)
    flags.DEFINE_float("tolerance", 0.05, "Relative distance allowed.", lower_bound=0)
    flags.DEFINE_integer("attempts", 50, "Draws before giving up.", lower_bound=1)
    flags.DEFINE_integer("filter_multiplier", 20, "F of the network.", lower_bound=1)
    flags.DEFINE_integer("num_classes", 19, "Number of classes.", lower_bound=1)
    flags.DEFINE_list("image_size", ["1025", "2049"], "Height and width in pixels.")
    run_program(main)
