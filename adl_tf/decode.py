"""Decodes the newest checkpoint of a search into genotype.json and pictures.

python -m adl_tf.decode --model_dir=DIR [--output=FILE] [--multi_adds=B | --parameters=M]

By default as in the paper, by the sizes of alpha and beta; with --multi_adds or --parameters the
most probable genotype that costs as much; with --selection=perturbation by what the supernet loses
without each op and each move, on trainB of the search's gin file.
"""

import os
from typing import Any, Dict, List

from absl import flags

from adl_tf.model_directory import SPACE_FILE, read_versioned
from adl_tf.programs import (
    check_gin_flags,
    define_gin_flags,
    importing,
    parse_gin_flags,
    run_program,
    train_command,
)
from adl_tf.sizes import parse_image_size

ALPHA_BETA, PERTURBATION = "alpha_beta", "perturbation"


def define_flags() -> None:
    """Defines the flags of the program."""
    define_gin_flags()
    flags.DEFINE_string("model_dir", None, "Directory of a search.", required=True)
    flags.DEFINE_string("output", None, "Genotype file to write [MODEL_DIR/genotype.json].")
    flags.DEFINE_enum("selection", ALPHA_BETA, [ALPHA_BETA, PERTURBATION], "What is chosen by.")
    flags.DEFINE_integer("batches", 8, "Batches of trainB for perturbation.", lower_bound=1)
    flags.DEFINE_float("multi_adds", None, "Budget: billions of Multi-Adds.", lower_bound=1e-6)
    flags.DEFINE_float("parameters", None, "Budget: millions of parameters.", lower_bound=1e-6)
    flags.DEFINE_float("tolerance", 0.1, "Relative distance from the budget.", lower_bound=0)
    flags.DEFINE_integer("filter_multiplier", 20, "F of the network to train.", lower_bound=1)
    flags.DEFINE_list("image_size", ["1025", "2049"], "Height and width in pixels.")


def main() -> Dict[str, Any]:
    """Runs the program on its flags."""
    options = flags.FLAGS
    model_dir = os.path.expanduser(options.model_dir)
    limited = options.multi_adds is not None or options.parameters is not None
    perturbed = options.selection == PERTURBATION
    if perturbed and limited:
        raise ValueError("--selection=perturbation does not support a budget: leave out one.")
    if perturbed and not options.gin_file:
        raise ValueError("--selection=perturbation needs the images: add the search's --gin_file.")
    check_gin_flags(dataset=perturbed)
    if not os.path.exists(os.path.join(model_dir, SPACE_FILE)):
        raise FileNotFoundError(f"{model_dir}: no search there.")
    with importing():
        import adl_tf.runs.search_method  # noqa: F401  A search's gin file binds what it defines.
        from adl_tf.runs.search_result import decode_search, most_probable, within
    parse_gin_flags()
    choose = most_probable
    if perturbed:
        strengths = _perturb(model_dir)
        choose = lambda space, alpha, beta: strengths.decode(space)  # noqa: E731
    elif limited:
        choose = within(_budget(model_dir))
    return decode_search(model_dir, options.output, choose)


def _budget(model_dir: str):
    from adl_tf.configuration import configured_sizes
    from adl_tf.space.budget import Budget

    options = flags.FLAGS
    return Budget(
        parse_image_size(options.image_size),
        read_versioned(os.path.join(model_dir, SPACE_FILE))["num_classes"],
        options.filter_multiplier,
        options.multi_adds,
        options.parameters,
        options.tolerance,
        sizes=configured_sizes(),
    )


def _perturb(model_dir: str):
    from adl_tf.runs.data import RunData
    from adl_tf.runs.supernet_scores import SupernetScores, measure_strengths
    from adl_tf.training.devices import configure_runtime

    configure_runtime(small_kernels=True)
    data = RunData()
    with data.open():
        batches = list(data.training_stream(0, "B").take(flags.FLAGS.batches))
    return measure_strengths(SupernetScores(model_dir, batches))


def next_command(result: Dict[str, Any]) -> List[str]:
    """The command that trains what was decoded."""
    model_dir = os.path.expanduser(flags.FLAGS.model_dir)
    return train_command(result["genotype"], f"{model_dir}_trained")


if __name__ == "__main__":
    define_flags()
    run_program(main, next_command)
