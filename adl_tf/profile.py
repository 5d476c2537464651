"""Counts the parameters and Multi-Adds of a network, or estimates a search.

python -m adl_tf.profile --genotype=FILE-or-preset --filter_multiplier=F --num_classes=N
    --image_size=H,W [--table]
python -m adl_tf.profile --search --gin_file=camvid_search.gin
"""

from typing import Any, Dict, List

from absl import flags

from adl_tf.models.network_names import DECODED, NETWORK_NAMES
from adl_tf.programs import (
    check_gin_flags,
    define_gin_flags,
    importing,
    parse_gin_flags,
    run_program,
)
from adl_tf.sizes import parse_image_size
from adl_tf.system.progress import say

SUPERNET = "supernet"


def define_flags() -> None:
    """Defines the flags of the program."""
    define_gin_flags()
    flags.DEFINE_bool("search", False, "Estimate the search of --gin_file: steps, hours, memory.")
    flags.DEFINE_enum("network", DECODED, [SUPERNET, *NETWORK_NAMES], "Network to profile.")
    flags.DEFINE_string("genotype", "auto_deeplab", "Genotype: a file, or a preset.")
    flags.DEFINE_integer("filter_multiplier", 20, "F; 20, 32, 48 for S, M, L.", lower_bound=1)
    flags.DEFINE_float("width", 1.0, "Factor of a baseline's filters.", lower_bound=0.1)
    flags.DEFINE_integer("num_classes", 19, "Number of classes.", lower_bound=1)
    flags.DEFINE_list("image_size", ["1025", "2049"], "Height and width in pixels.")
    flags.DEFINE_bool("table", False, "Print Multi-Adds per layer to stderr.")


def main() -> Dict[str, Any]:
    """Runs the program on its flags."""
    options = flags.FLAGS
    image_size = parse_image_size(options.image_size)
    check_gin_flags(dataset=options.search)
    with importing():
        # A search's and a training's gin files bind what these define.
        import adl_tf.runs.training_run  # noqa: F401
        from adl_tf.configuration import configured_sizes, configured_space
        from adl_tf.models.profiling import profile_network
        from adl_tf.models.registry import NetworkDescription, build_network
        from adl_tf.models.supernet import Supernet
        from adl_tf.planning.search_estimate import estimate_search
        from adl_tf.space.costs import network_cost
    parse_gin_flags()
    if options.search:
        return estimate_search(search_flags(options))
    if options.network == SUPERNET:
        network = Supernet(configured_space(), options.num_classes, stem=configured_sizes().stem)
        network.build((None, *image_size, 3))
    else:
        description = NetworkDescription(
            options.network,
            options.num_classes,
            options.genotype,
            options.filter_multiplier,
            options.width,
            configured_sizes(),
        )
        network = build_network(description)
    profile = profile_network(network, image_size)
    if options.table:
        say(profile.table())
    result = {
        "network": options.network,
        "image_size": list(image_size),
        "parameters": profile.parameters,
        "multi_adds": profile.multi_adds,
    }
    if options.network == DECODED:
        cost = network_cost(
            description.genotype,
            options.filter_multiplier,
            options.num_classes,
            image_size,
            description.sizes,
        )
        result = {**result, **cost.summary()}
    return result


def search_flags(options) -> List[str]:
    """The flags of a search that has the configuration of this program."""
    files = [f"--gin_file={file}" for file in options.gin_file or ()]
    bindings = [f"--gin_param={binding}" for binding in options.gin_param or ()]
    return [*files, *bindings, f"--gin_imports={str(options.gin_imports).lower()}"]


if __name__ == "__main__":
    define_flags()
    run_program(main)
