"""From a folder of images and masks to a served network, in one command.

python -m adl_tf.auto FOLDER [--output_dir=DIR] [--hours=2] [--multi_adds=5] [--plan_only]
    [--search=auto|on|off] [--genotype=FILE] [--preset=camvid]
    [flags of the converter, such as --mask_values=0,255]

The same command resumes where it stopped; with more --hours it trains on.
"""

import os
import sys
from typing import Any, Dict, List, Sequence

from absl import flags

from adl_tf.programs import importing, one_line, run_program, show_in_help
from data_prep.recognize import as_arguments, define_converter_flags, given_flags

_converter_flags: List[str] = []


def define_flags() -> None:
    """Defines the flags of the program."""
    flags.DEFINE_string("input", None, "FOLDER, of images and masks or of records, as a flag.")
    flags.DEFINE_string("output_dir", None, "Directory of everything written [runs/FOLDER].")
    flags.DEFINE_float("hours", 2.0, "Time for the whole run.", lower_bound=1e-3)
    flags.DEFINE_float("multi_adds", None, "Billions of Multi-Adds that the network may cost.")
    flags.DEFINE_enum("search", "auto", ["auto", "on", "off"], "Whether to search.")
    flags.DEFINE_string("genotype", None, "Genotype to train instead of a search.")
    flags.DEFINE_string("preset", None, "Network of the package to start from instead of a search.")
    flags.DEFINE_bool("plan_only", False, "Stop once the plan is written.")
    _converter_flags[:] = define_converter_flags()
    show_in_help(*_converter_flags)


def main(folders: Sequence[str]) -> Dict[str, Any]:
    """Runs the program on its argument and flags."""
    options = flags.FLAGS
    if len(folders) + (options.input is not None) != 1:
        raise ValueError("give one FOLDER of images and masks, or of records: adl auto FOLDER")
    options.input = folders[0] if folders else options.input
    folder = os.path.abspath(os.path.expanduser(options.input))
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{folder}: no such folder.")
    if options.output_dir is None:
        options.output_dir = os.path.join("runs", os.path.basename(folder))
    with importing():
        import tensorflow as tf

        from adl_tf.planning.auto import run_auto
        from adl_tf.planning.stages import StageFailure
    # This process computes next to nothing, and would keep the memory that its stages need.
    tf.config.set_visible_devices([], "GPU")
    try:
        return run_auto(
            os.path.expanduser(options.input),
            os.path.expanduser(options.output_dir),
            options.hours,
            options.multi_adds,
            options.plan_only,
            given_flags(_converter_flags),
            options.search,
            options.genotype,
            options.preset,
        )
    except StageFailure as failure:
        sys.exit(one_line(failure))  # Its own error line is above.


def next_command(result: Dict[str, Any]) -> List[str]:
    """The command that uses the network; after --plan_only, the one that carries out the plan."""
    options = flags.FLAGS
    if options.plan_only:
        given = {"output_dir": options.output_dir, "hours": options.hours}
        for name in ("multi_adds", "search", "genotype", "preset"):
            if options[name].value != options[name].default:
                given[name] = options[name].value
        chosen = as_arguments({**given, **given_flags(_converter_flags)})
        return ["adl_tf.auto", options.input, *chosen]
    return result["command"]


if __name__ == "__main__":
    define_flags()
    run_program(main, next_command, arguments=True)
