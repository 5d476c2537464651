"""The shared parts of programs and converters: gin flags, start, end, and the next command.

A program reads its flags, checks them and its gin files, and only then imports what it runs, see
`importing`: help and mistakes do not wait for TensorFlow.
"""

import contextlib
import json
import os
import re
import shlex
import sys
from typing import Any, Callable, Dict, Iterator, List, NoReturn, Optional, Sequence

from absl import app, flags, logging

from adl_tf.gin_files import Statements, check_gin, read_statements
from adl_tf.system.interrupts import (
    Interrupted,
    end_quietly,
    handlers_kept,
    hold_lifeline,
    raise_interrupts,
)
from adl_tf.system.progress import STAGE, say
from adl_tf.system.startup import collect_rarely, silence

# Of a result: what went wrong, without ending the program.
_FAULTS = ("failed", "bad")
# What absl says of a flag that is required.
_MISSING = re.compile(r"flag --(\w+)=None: Flag --\1 must have a value other than None\.")
_CALL_STACK = re.compile(r"\s+In call to configurable '[^']*' \(<.*?>\)(?: in scope '[^']*')?")


def define_gin_flags() -> None:
    """Adds --gin_file and --gin_param to a program."""
    flags.DEFINE_multi_string(
        "gin_file", [], "Gin file, by path or by its name in gin_configs/. Later ones win."
    )
    flags.DEFINE_multi_string(
        "gin_param", [], "Gin binding such as 'EPOCHS = 10'; wins over the files."
    )
    flags.DEFINE_bool(
        "gin_imports", True, "Whether gin files may import modules; off for files of others."
    )
    show_in_help("gin_file", "gin_param", "gin_imports")


def show_in_help(*names: str) -> None:
    """Lets --help list flags that another module than the program defines."""
    for name in names:
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])


def check_gin_flags(dataset: bool = False) -> None:
    """Checks the configuration that the flags name, before anything that it binds is imported.

    Args:
      dataset: whether the program reads the data set of the configuration.

    Raises:
      ValueError: see `read_statements` and `check_gin`.
      FileNotFoundError: no such data set.
    """
    options = flags.FLAGS
    statements = read_statements(options.gin_file, options.gin_param)
    check_gin(statements, options.gin_imports)
    if dataset:
        _check_dataset(statements)


def _check_dataset(statements: Statements) -> None:
    directory = statements.values.get("DATASET_DIR")
    for binding in statements.bindings:
        if (binding.selector, binding.arg_name) == ("RunData", "dataset_dir") and binding.value:
            directory = binding.value
    if not isinstance(directory, str) or directory == "synthetic":
        return
    if not os.path.isdir(os.path.expanduser(directory)):
        raise FileNotFoundError(
            f"{directory}: no such data set directory; create one with a converter, "
            "python -m data_prep.convert_NAME."
        )


def parse_gin_flags() -> None:
    """Binds what the flags say, once the modules are imported that define it.

    Raises:
      ValueError: see `parse_gin`.
    """
    from adl_tf.configuration import parse_gin

    options = flags.FLAGS
    parse_gin(options.gin_file, options.gin_param, options.gin_imports)


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Of a program that has checked its input: TensorFlow and what needs it is imported inside.

    For these seconds nothing that libraries log is shown, and any signal ends the process with one
    line and status 130: nothing has begun, and libraries would make other errors of an exception.
    """
    collect_rarely()
    with silence() as stderr, handlers_kept():
        end_quietly(stderr)
        yield


def run_program(
    program: Callable[..., Dict[str, Any]],
    next_command: Optional[Callable[[Dict[str, Any]], Sequence[str]]] = None,
    arguments: bool = False,
) -> None:
    """Runs a program and prints its result as one line of JSON, the last on stdout.

    Bad input (ValueError, OSError) prints one line to stderr and exits with status 1;
    `--verbosity=1` adds the traceback. A result in which something has "failed" or is "bad" is
    printed, and the status is 1. SIGINT and SIGTERM print one line and exit with status 130.

    Args:
      program: does the work; it gets the positional arguments as a list, if it takes them.
      next_command: makes the command that users need next out of the result, the module's name and
        its arguments; it is shown on stderr.
      arguments: whether there may be positional arguments.
    """

    def main(argv):
        hold_lifeline()
        raise_interrupts()
        try:
            if len(argv) > 1 and not arguments:
                raise ValueError(f"unexpected argument {argv[1]!r}; --help lists the flags.")
            result = program(argv[1:]) if arguments else program()
        except (ValueError, OSError, RuntimeError) as error:
            # gin raises RuntimeError for a missing binding.
            text = one_line(error)
            if isinstance(error, RuntimeError) and not text.startswith("Required bindings"):
                raise
            logging.debug("raised here", exc_info=True)
            _end(1, f"error: {text}")
        except (KeyboardInterrupt, Interrupted) as error:
            _end(130, f"interrupted. {one_line(error)}")
        print(json.dumps(result), flush=True)
        failed = any(result.get(fault) for fault in _FAULTS)
        if next_command and not failed and STAGE not in os.environ:
            say(f"next: {command_line(next_command(result))}")
        _end(1 if failed else 0)

    app.run(main, flags_parser=_parse_flags)


def _parse_flags(argv: Sequence[str]) -> Sequence[str]:
    """Parses the flags; if one is wrong, one line says so, and help is no failure."""
    try:
        return flags.FLAGS(argv)
    except flags.Error as error:
        text = _MISSING.sub(r"--\1 is missing.", one_line(error))
        _end(1, f"error: {text} --help lists the flags.")
    except (SystemExit, BrokenPipeError):  # Help was shown, perhaps to `head`.
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.flush()
        os._exit(0)


def train_command(found: Dict[str, Any], model_dir: str) -> List[str]:
    """The command that trains a genotype on the data of this configuration.

    Args:
      found: genotype, its file. Where sizes are among the fields, the file has them, too, and F;
        otherwise the command gives filter_multiplier, or F of the paper's smallest network.
      model_dir: model directory of the training.
    """
    from adl_tf.configuration import macro  # Here, since --help does not need it.

    dataset = macro("DATASET_DIR")
    config = "train.gin" if dataset == "synthetic" else "recommended_train.gin"
    arguments = [f"--gin_file={config}"]
    if dataset is not None:
        arguments.append(f"--gin_param=DATASET_DIR = {dataset!r}")
    if "sizes" not in found:
        arguments.append(f"--gin_param=FILTER_MULTIPLIER = {found.get('filter_multiplier', 20)}")
    arguments += [f"--genotype={found['genotype']}", f"--model_dir={model_dir}"]
    return ["adl_tf.train", *arguments]


def command_line(parts: Sequence[str]) -> str:
    """A command for people to copy.

    Args:
      parts: module of a program and its arguments.
    """
    return " ".join(["python", "-m", *map(_quote, parts)])


def _quote(text: str) -> str:
    """As `shlex.quote`, but bindings with quotes of their own are put into double ones."""
    if "'" in text and not set(text) & set('"$`\\!\n'):
        return f'"{text}"'
    return shlex.quote(text)


def one_line(error: BaseException) -> str:
    """The message of an error, without the call stack of configurables that gin adds."""
    return " ".join(_CALL_STACK.sub("", str(error)).split())


def _end(status: int, text: str = "") -> NoReturn:
    """Ends the process at once.

    What TensorFlow does while Python finalizes is of no use to a program, and the destructor of an
    iterator of tf.data was once seen to wait for ever there (TensorFlow 2.15).
    """
    if text:
        print(text, file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
