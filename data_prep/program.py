"""The command line of a converter."""

import functools
import json
import os
import shlex
import sys
from typing import Callable, Sequence

from absl import app, flags

from adl_tf.configuration import show_in_help
from adl_tf.interrupts import raise_interrupts
from adl_tf.progress import STAGE
from adl_tf.startup import restore_stderr
from data_prep import processes
from data_prep.conversion import Conversion
from data_prep.errors import ConversionError
from data_prep.run import Writer, run_conversion

SHARED = ("preview", "num_shards", "num_workers", "max_errors", "beam_options")


def main(
    plan: Callable[..., Conversion], options: Sequence[str] = (), input_dir: bool = True
) -> None:
    """Runs a converter as a program; prints one JSON line and exits.

    Args:
      plan: makes the conversion of the input directory and the options.
      options: names of the converter's own flags, given to plan as keywords.
      input_dir: False for a converter that reads nothing.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    _define_flags(input_dir)
    app.run(functools.partial(_convert, plan, options))


def _define_flags(input_dir):
    if input_dir:
        flags.DEFINE_string("input_dir", None, "Directory of the unpacked archive.", required=True)
    flags.DEFINE_string("output_dir", None, "Directory of the TFRecords.", required=True)
    define_shared_flags()
    show_in_help(*(["input_dir"] if input_dir else []), "output_dir")


def define_shared_flags() -> None:
    """Defines the flags that all converters take besides the directories: `SHARED`."""
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


def _convert(plan, options, argv):
    """Returns the exit status."""
    raise_interrupts()
    restore_stderr()
    if len(argv) > 1:
        raise app.UsageError(f"unexpected argument {argv[1]!r}")
    values = flags.FLAGS.flag_values_dict()
    inputs = [values["input_dir"]] if "input_dir" in values else []
    try:
        conversion = plan(*inputs, **{name: values[name] for name in options})
        if values["preview"]:
            _write_preview(conversion, values["output_dir"], values["preview"])
        summary = run_conversion(
            conversion,
            values["output_dir"],
            write=_choose_writer(values["num_workers"], values["beam_options"]),
            num_shards=values["num_shards"],
            max_errors=values["max_errors"],
        )
    except (ConversionError, OSError, ValueError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; the same command resumes where it stopped.", file=sys.stderr)
        return 130
    print(json.dumps(summary))
    if STAGE not in os.environ:
        command = ["python", "-m", "data_prep.verify", values["output_dir"]]
        print(f"next: {shlex.join(command)}", file=sys.stderr)
    return 0


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
