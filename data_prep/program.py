"""The command line of a converter."""

import dataclasses
import functools
import os
import sys
from typing import Any, Callable, Dict, List, Sequence

from absl import flags

from adl_tf.programs import run_program, show_in_help
from adl_tf.system.interrupts import Interrupted
from data_prep import processes
from data_prep.conversion import Conversion
from data_prep.errors import ConversionError
from data_prep.run import Writer, run_conversion

SHARED = ("preview", "short_side", "num_shards", "num_workers", "max_errors", "beam_options")


def main(
    plan: Callable[..., Conversion], options: Sequence[str] = (), input_dir: bool = True
) -> None:
    """Runs a converter as a program; prints one JSON line and exits.

    Args:
      plan: makes the conversion of the input directory and the options.
      options: names of the converter's own flags, given to plan as keywords.
      input_dir: False for a converter that reads nothing.
    """
    define_flags(input_dir)
    run_program(functools.partial(_convert, plan, options), _next_command)


def define_flags(input_dir: bool = True) -> None:
    """Defines the flags that all converters have; `input_dir`: whether it is one."""
    if input_dir:
        flags.DEFINE_string("input_dir", None, "Directory of the unpacked archive.", required=True)
    flags.DEFINE_string("output_dir", None, "Directory of the TFRecords.", required=True)
    define_shared_flags()
    show_in_help(*(["input_dir"] if input_dir else []), "output_dir")


def define_shared_flags() -> None:
    """Defines the flags that all converters take besides the directories: `SHARED`."""
    flags.DEFINE_integer(
        "short_side",
        0,
        "Shrink images whose short side is longer to this; 0: none. Auto chooses it by its hours.",
        lower_bound=0,
    )
    flags.DEFINE_integer("num_shards", 4, "Shards per split.", lower_bound=1)
    flags.DEFINE_integer("num_workers", os.cpu_count(), "Processes.", lower_bound=1)
    flags.DEFINE_integer("max_errors", 0, "Bad examples to skip before failing.", lower_bound=0)
    flags.DEFINE_string(
        "beam_options",
        None,
        "Convert as an Apache Beam pipeline with these options instead of in processes of this "
        'machine, such as "--runner=DirectRunner --direct_num_workers=2".',
    )
    flags.DEFINE_integer(
        "preview",
        0,
        "Pictures of masks over images to write into OUTPUT_DIR/preview first.",
        lower_bound=0,
    )
    show_in_help(*SHARED)


def _convert(plan, options) -> Dict[str, Any]:
    values = flags.FLAGS.flag_values_dict()
    inputs = [values["input_dir"]] if "input_dir" in values else []
    try:
        conversion = plan(*inputs, **{name: values[name] for name in options})
        conversion = dataclasses.replace(conversion, short_side=values["short_side"])
        if values["preview"]:
            _write_preview(conversion, values["output_dir"], values["preview"])
        return run_conversion(
            conversion,
            values["output_dir"],
            write=_choose_writer(values["num_workers"], values["beam_options"]),
            num_shards=values["num_shards"],
            max_errors=values["max_errors"],
        )
    except KeyboardInterrupt as interrupt:
        raise Interrupted("The same command resumes where it stopped.") from interrupt


def _next_command(result: Dict[str, Any]) -> List[str]:
    """The command that checks the records."""
    del result
    return ["data_prep.verify", flags.FLAGS.output_dir]


def _write_preview(conversion, output_dir, count):
    from data_prep.preview import write_preview  # Here: matplotlib takes a second to load.

    try:
        paths = write_preview(conversion, output_dir, count)
    except (OSError, ValueError) as error:
        raise ConversionError(f"{output_dir}: no preview can be written ({error}).") from error
    place = f" in {os.path.dirname(paths[0])}" if paths else ""
    print(f"preview: {len(paths)} pictures{place}.", file=sys.stderr)


def _choose_writer(num_workers, beam_options) -> Writer:
    if beam_options is None:
        return functools.partial(processes.write, num_workers=num_workers)
    try:
        from data_prep import beam  # An extra of the package.
    except ImportError as error:
        raise ConversionError(f"--beam_options: {error}; pip install 'adl-tf[beam]'.") from error
    return functools.partial(beam.write, options=beam_options.split())
