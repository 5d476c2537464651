"""From a folder of images and masks to a served network, in one command.

python -m adl_tf.auto --input=FOLDER --output_dir=DIR [--hours=2] [--multi_adds=5] [--plan_only]
    [flags of the converter, such as --mask_values=0,255]

The same command resumes where it stopped; with more --hours it trains on.
"""

import os
import sys
from typing import Any, Dict, List

from absl import flags

from adl_tf.configuration import run_program, show_in_help  # isort: skip

import tensorflow as tf

from adl_tf.planning.auto import run_auto
from adl_tf.planning.stages import StageFailure
from data_prep.recognize import as_arguments, define_converter_flags, given_flags

_converter_flags: List[str] = []


def main() -> Dict[str, Any]:
    """Runs the program on its flags."""
    options = flags.FLAGS
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
        )
    except StageFailure as failure:
        sys.exit(str(failure))  # Its own error line is above.


def then(result: Dict[str, Any]) -> List[str]:
    """The command that uses the network; after --plan_only, the one that carries out the plan."""
    options = flags.FLAGS
    if options.plan_only:
        given = {"input": options.input, "output_dir": options.output_dir, "hours": options.hours}
        if options.multi_adds is not None:
            given["multi_adds"] = options.multi_adds
        return ["adl_tf.auto", *as_arguments({**given, **given_flags(_converter_flags)})]
    export = f"--export_dir={result['export']}"
    return ["adl_tf.predict", export, "--output_dir=predictions", "IMAGE-or-FOLDER"]


if __name__ == "__main__":
    flags.DEFINE_string("input", None, "Folder of images and masks, or of records.", required=True)
    flags.DEFINE_string("output_dir", None, "Directory of everything written.", required=True)
    flags.DEFINE_float("hours", 2.0, "Time for the whole run.", lower_bound=1e-3)
    flags.DEFINE_float("multi_adds", None, "Billions of Multi-Adds that the network may cost.")
    flags.DEFINE_bool("plan_only", False, "Stop once the plan is written.")
    _converter_flags += define_converter_flags()
    show_in_help(*_converter_flags)
    run_program(main, then=then)
