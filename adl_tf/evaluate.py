"""Scores a trained network on a data set, and writes its label maps.

python -m adl_tf.evaluate --model_dir=DIR [--scales=0.5,0.75,1 --flip] [--save_predictions=DIR]
"""

import os
from typing import Any, Dict, List

from absl import flags

from adl_tf.model_directory import find_network_file
from adl_tf.programs import (
    check_gin_flags,
    define_gin_flags,
    importing,
    parse_gin_flags,
    run_program,
)
from adl_tf.sizes import parse_numbers, parse_sides

_PATHS = ("checkpoint", "save_predictions", "output_dir")
_SIDES = ("crop_size", "stride")
_OPTIONS = ("dataset_dir", "split", "scales", "flip", "batch_size", "max_images", *_PATHS, *_SIDES)


def define_flags() -> None:
    """Defines the flags of the program."""
    define_gin_flags()
    flags.DEFINE_string("model_dir", None, "Directory of a trained network.", required=True)
    flags.DEFINE_string("dataset_dir", None, "Directory of TFRecords [the training data].")
    flags.DEFINE_string("split", None, "Split of the data set [val].")
    flags.DEFINE_string("checkpoint", None, "best, last or a path [best].")
    flags.DEFINE_list("scales", None, "Average over images scaled by these factors [1].")
    flags.DEFINE_bool("flip", None, "Also average over mirrored images [no].")
    flags.DEFINE_list("crop_size", None, "H,W of sliding windows [whole images].")
    flags.DEFINE_list("stride", None, "Y,X stride of the windows [two thirds of a window].")
    flags.DEFINE_integer("batch_size", None, "Images per batch [1].", lower_bound=1)
    flags.DEFINE_string("save_predictions", None, "Write label maps into this directory [no].")
    flags.DEFINE_string("output_dir", None, "Directory of the results [MODEL_DIR/evaluation].")
    flags.DEFINE_integer("max_images", None, "Score the first N images [all].", lower_bound=1)


def main() -> Dict[str, Any]:
    """Runs the program on its flags; those not given are left to gin."""
    values = flags.FLAGS.flag_values_dict()
    check_gin_flags()
    find_network_file(values["model_dir"])
    given = {name: values[name] for name in _OPTIONS if values[name] is not None}
    if "scales" in given:
        given["scales"] = parse_numbers("scales", given["scales"], float)
    for name in _SIDES:
        if name in given:
            given[name] = parse_sides(name, given[name])
    for name in _PATHS:
        if name in given:
            given[name] = os.path.expanduser(given[name])
    with importing():
        from adl_tf.evaluation.network_evaluation import evaluate_network
    parse_gin_flags()
    return evaluate_network(os.path.expanduser(values["model_dir"]), **given)


def next_command(result: Dict[str, Any]) -> List[str]:
    """The command that exports the network."""
    del result
    model_dir = os.path.expanduser(flags.FLAGS.model_dir)
    return ["adl_tf.export", f"--model_dir={model_dir}", f"--output_dir={model_dir}_export"]


if __name__ == "__main__":
    define_flags()
    run_program(main, next_command)
