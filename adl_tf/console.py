"""The commands: adl with its subcommands, and adl-NAME for each of them; all are a python -m.

adl search is adl-search is python -m adl_tf.search; adl convert folder is adl-convert folder is
python -m data_prep.convert_folder.
"""

import ast
import difflib
import os
import pkgutil
import runpy
import sys
from typing import List, NamedTuple, Sequence

import data_prep
from adl_tf.system.interrupts import end_quietly

PROGRAMS = (
    "auto",
    "search",
    "study",
    "train",
    "decode",
    "sample",
    "profile",
    "evaluate",
    "export",
    "predict",
)
CONVERT, VERIFY, COMPLETION = "convert", "verify", "completion"
_CONVERTERS = "data_prep.convert_"


class Program(NamedTuple):
    """A subcommand.

    Attributes:
      name: what follows `adl`.
      text: what it does, in a line.
      module: which defines its flags; "" if it has none.
      arguments: what its argument is one of; empty where that is a file.
    """

    name: str
    text: str
    module: str
    arguments: Sequence[str] = ()


def main() -> None:
    """Runs the subcommand that the first argument names; without one, lists them."""
    end_quietly()
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help", "help"):
        print(_overview())
        return
    names = (*PROGRAMS, CONVERT, VERIFY, COMPLETION)
    if name not in names:
        near = difflib.get_close_matches(name, names, 1)
        hint = f"did you mean {near[0]}?" if near else f"give one of {', '.join(names)}."
        sys.exit(f"error: adl has no program {name!r}; {hint}")
    if name == COMPLETION:
        from adl_tf.completion import print_completion  # Here, since it imports the programs.

        print_completion(arguments, list_programs())
        return
    del sys.argv[1]
    if name == CONVERT:
        run_converter()
    else:
        _run_module(f"data_prep.{name}" if name == VERIFY else f"adl_tf.{name}")


def run_program() -> None:
    """Runs the program that the script is named after, such as adl-search."""
    name, _ = os.path.splitext(os.path.basename(sys.argv[0]))
    _run_module(f"adl_tf.{name[len('adl-') :]}")


def run_converter() -> None:
    """Runs the converter that the first argument names, such as adl-convert folder."""
    names = converter_names()
    if len(sys.argv) < 2 or sys.argv[1] not in names:
        sys.exit(f"error: adl-convert NAME [flags]: give one of {', '.join(names)} as NAME.")
    _run_module(f"{_CONVERTERS}{sys.argv.pop(1)}")


def converter_names() -> List[str]:
    """The converters, without their prefix."""
    modules = [f"data_prep.{module.name}" for module in pkgutil.iter_modules(data_prep.__path__)]
    return [name[len(_CONVERTERS) :] for name in modules if name.startswith(_CONVERTERS)]


def list_programs() -> List[Program]:
    """All subcommands; their modules are read, not imported."""
    folder = os.path.dirname(os.path.abspath(__file__))
    programs = [
        Program(name, _first_line(os.path.join(folder, f"{name}.py")), f"adl_tf.{name}")
        for name in PROGRAMS
    ]
    names = converter_names()
    convert = f"Converts a data set to TFRecords: {', '.join(names)}."
    verify = "Re-reads a data set of TFRecords and names each bad record."
    completion = 'Makes a shell complete all this: eval "$(adl completion bash)".'
    return [
        *programs,
        Program(CONVERT, convert, "data_prep.program", names),
        Program(VERIFY, verify, "data_prep.verify"),
        Program(COMPLETION, completion, "", ("bash", "zsh", "fish", "tcsh")),
    ]


def _first_line(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return ast.get_docstring(ast.parse(file.read())).splitlines()[0]


def _overview() -> str:
    lines = [f"  {name:12}{text}" for name, text, *_ in list_programs()]
    usage = "adl NAME [flags]; adl NAME --help lists the flags. python -m adl_tf is the same."
    return "\n".join([usage, "", *lines])


def _run_module(module: str) -> None:
    """Does what python -m does, so that both ways of starting a program are one."""
    end_quietly()
    sys.path[0] = os.getcwd()  # Where gin files find the modules that they import.
    runpy.run_module(module, run_name="__main__", alter_sys=True)
