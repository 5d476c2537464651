"""Gin configuration of the programs, and what they share on the command line."""

import difflib
import json
import os
import re
import shlex
import sys
from typing import Any, Callable, Dict, Iterator, List, NoReturn, Optional, Sequence, Set

# Set before TensorFlow is imported: its start-up log would bury the progress bar.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import gin  # noqa: E402
from absl import app, flags, logging  # noqa: E402

from adl_tf.interrupts import hold_lifeline, raise_interrupts  # noqa: E402
from adl_tf.progress import STAGE  # noqa: E402
from adl_tf.settings import external_configurable  # noqa: E402
from adl_tf.space.budget import Budget  # noqa: E402
from adl_tf.space.network_sizes import NetworkSizes  # noqa: E402
from adl_tf.space.search_space import SearchSpace  # noqa: E402
from adl_tf.startup import restore_stderr  # noqa: E402

# Set in the environment of programs that import nothing that a configuration names.
NO_IMPORTS = "ADL_TF_NO_IMPORTS"
# Set in the environment of programs that may not use all cores that they see: how many.
CORES = "ADL_TF_CORES"
CONFIG_DIR = os.path.join(os.path.dirname(os.path.dirname(__file__)), "gin_configs")

# What gin raises for bad files and bindings, and for modules that they import.
_INVALID = (OSError, ValueError, SyntaxError, RuntimeError, NameError, AttributeError, ImportError)

# The space itself does not depend on gin.
configured_space = external_configurable(SearchSpace)
configured_sizes = external_configurable(NetworkSizes)
configured_budget = external_configurable(Budget)


class Interrupted(Exception):
    """The user stopped the program; its progress is saved."""


def available_cores() -> int:
    """How many cores this process may use."""
    if CORES in os.environ:
        return int(os.environ[CORES])
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


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


def parse_gin(gin_files: Sequence[str], gin_params: Sequence[str], imports: bool = True) -> None:
    """Reads gin files, then single bindings.

    Args:
      gin_files: by path, or by name in gin_configs/.
      gin_params: bindings.
      imports: whether they may import modules, which runs their code.

    Raises:
      ValueError: a missing file or module, a binding that matches no parameter, a macro that is
        set but not used, or an import that is not allowed.
    """
    if not imports:
        # For networks given as "module:name", and the runs of studies.
        os.environ[NO_IMPORTS] = "1"
    text = "\n".join([*_texts(gin_files, set()), *gin_params])
    found = re.search(r"^[ \t\f]*(?:import|from)\b.*", text, re.MULTILINE)
    if found and NO_IMPORTS in os.environ:
        raise ValueError(f"gin: {found[0].strip()!r} is not allowed with --nogin_imports.")
    gin.clear_config()
    gin.add_config_file_search_path(CONFIG_DIR)
    verbosity = logging.get_verbosity()
    # gin would log every path that it tries as an error.
    logging.set_verbosity(logging.FATAL)
    try:
        # Not locked afterwards: public names register their parameters on first use.
        gin.parse_config_files_and_bindings(
            list(gin_files), list(gin_params), finalize_config=False
        )
    except _INVALID as error:
        raise ValueError(f"gin: {' '.join(str(error).split())}") from error
    finally:
        logging.set_verbosity(verbosity)
    _check_macros(text)


def _texts(gin_files: Sequence[str], seen: Set[str]) -> Iterator[str]:
    """The contents of gin files and of those that they include, each once."""
    for name in gin_files:
        path = name if os.path.exists(name) else os.path.join(CONFIG_DIR, name)
        if path in seen:
            continue
        seen.add(path)
        if not os.path.isfile(path):
            if NO_IMPORTS in os.environ:  # gin would look for it in packages, and import these.
                raise ValueError(f"gin: {name}: no such file.")
            continue  # gin says what is wrong with it.
        with open(path, encoding="utf-8", errors="replace") as file:
            text = file.read().replace("\\\n", " ")
        yield text
        for line in re.findall(r"^[ \t\f]*include\b.*", text, re.MULTILINE):
            plain = re.match(r"\s*include\s*(['\"])([^'\"\\]*)\1\s*(#.*)?$", line)
            if plain:
                yield from _texts([plain[2]], seen)
            elif NO_IMPORTS in os.environ:  # Other forms of text that gin would read.
                raise ValueError(
                    f"gin: {name}: {line.strip()!r} is not allowed with --nogin_imports."
                )


def _check_macros(text: str) -> None:
    """Raises ValueError for a macro that is set but never used, as one that is misspelt."""
    used = sorted(set(re.findall(r"%([A-Za-z_]\w*)", text)))
    for name in re.findall(r"^([A-Za-z_]\w*) =", gin.config_str(), re.MULTILINE):
        if name not in used:
            near = difflib.get_close_matches(name, used, 1)
            raise ValueError(
                f"gin: {name} is set but not used by these configs; "
                + (f"did you mean {near[0]}?" if near else f"they use {', '.join(used) or 'none'}.")
            )


def say(text: str) -> None:
    """Prints a line for the user to stderr; stdout is for the result."""
    print(text, file=sys.stderr, flush=True)


def run_program(
    program: Callable[..., Dict[str, Any]],
    arguments: bool = False,
    then: Optional[Callable[[Dict[str, Any]], Sequence[str]]] = None,
) -> None:
    """Runs a program and prints its result as one line of JSON, the last on stdout.

    With `arguments`, the program gets the positional arguments as a list; without, there must be
    none. `then` makes the command that users need next out of the result: the module's name and its
    arguments; it is shown on stderr.

    Bad input (ValueError, OSError) prints one line to stderr and exits with status 1;
    `--verbosity=1` adds the traceback. A result in which something has "failed" is printed, and the
    status is 1. SIGINT and SIGTERM print one line and exit with status 130.
    """

    def main(argv):
        hold_lifeline()
        raise_interrupts()
        restore_stderr()
        if len(argv) > 1 and not arguments:
            raise app.UsageError(f"unexpected argument {argv[1]!r}")
        try:
            result = program(argv[1:]) if arguments else program()
        except (ValueError, OSError, RuntimeError) as error:
            # gin raises RuntimeError for a missing binding.
            text = _one_line(error)
            if isinstance(error, RuntimeError) and not text.startswith("Required bindings"):
                raise
            logging.debug("raised here", exc_info=True)
            _end(1, f"error: {text}")
        except (KeyboardInterrupt, Interrupted) as error:
            _end(130, f"interrupted. {_one_line(error)}")
        print(json.dumps(result), flush=True)
        if then and STAGE not in os.environ:
            say(f"next: {shlex.join(['python', '-m', *then(result)])}")
        _end(1 if result.get("failed") else 0)

    app.run(main)


def train_command(found: Dict[str, Any], model_dir: str) -> List[str]:
    """The command that trains a genotype on the data of this configuration.

    Args:
      found: genotype, its file. Where sizes are among the fields, the file has them, too, and F;
        otherwise the command gives filter_multiplier, or F of the paper's smallest network.
      model_dir: of the training.
    """
    data = carried("DATASET_DIR")
    synthetic = any("'synthetic'" in flag for flag in data)
    config = "train.gin" if synthetic else "recommended_train.gin"
    if "sizes" not in found:
        data.append(f"--gin_param=FILTER_MULTIPLIER = {found.get('filter_multiplier', 20)}")
    arguments = [f"--gin_file={config}", *data, f"--genotype={found['genotype']}"]
    return ["adl_tf.train", *arguments, f"--model_dir={model_dir}"]


def macro(name: str, default: Any = None) -> Any:
    """The value of a macro of the gin files; the default where they have none."""
    try:
        return gin.query_parameter(f"%{name}")
    except ValueError:
        return default


def carried(*macros: str) -> List[str]:
    """Flags that set macros in another program as they are set in this one."""
    values = {name: macro(name) for name in macros}
    return [f"--gin_param={name} = {v!r}" for name, v in values.items() if v is not None]


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


def _one_line(error: BaseException) -> str:
    """The message, without gin's trace of configurables."""
    return " ".join(str(error).split("\n  In call to configurable")[0].split())
