"""Completion of the command adl in a shell: its subcommands, their flags and the flags' values."""

import argparse
import importlib
from typing import Callable, Dict, Sequence, Tuple

import shtab
from absl import flags

from adl_tf.gin_files import config_names

# Of a subcommand: its name, what it does, the module that defines its flags ("" if it has none),
# and what its argument is one of; empty where that is a file.
Program = Tuple[str, str, str, Sequence[str]]


def print_completion(shells: Sequence[str], programs: Sequence[Program]) -> None:
    """Prints the script of a shell; `shells` is one name of `shtab.SUPPORTED_SHELLS`."""
    if len(shells) != 1 or shells[0] not in shtab.SUPPORTED_SHELLS:
        raise SystemExit(
            f"error: adl completion SHELL: give one of {', '.join(shtab.SUPPORTED_SHELLS)}; for "
            'instance eval "$(adl completion bash)" in ~/.bashrc.'
        )
    print(shtab.complete(make_parser(programs), shells[0]))


def make_parser(programs: Sequence[Program]) -> argparse.ArgumentParser:
    """All subcommands, with the flags of absl as those of argparse, which shtab understands."""
    parser = argparse.ArgumentParser(prog="adl")
    commands = parser.add_subparsers()
    for name, text, module, arguments in programs:
        command = commands.add_parser(name, help=text)
        if module:
            for flag in _flags_of(importlib.import_module(module).define_flags).values():
                _add_flag(command, flag)
        if arguments:
            command.add_argument("name", choices=arguments)
        else:
            command.add_argument("paths", nargs="*").complete = shtab.FILE
    return parser


def _flags_of(define_flags: Callable[[], None]) -> Dict[str, flags.Flag]:
    """The flags that a program defines, taken out of the common ones again."""
    before = set(flags.FLAGS)
    define_flags()
    found = {name: flags.FLAGS[name] for name in sorted(set(flags.FLAGS) - before)}
    for name in found:
        delattr(flags.FLAGS, name)
    return found


def _add_flag(command: argparse.ArgumentParser, flag: flags.Flag) -> None:
    text = flag.help.replace("%", "%%")
    if flag.boolean:
        command.add_argument(f"--{flag.name}", f"--no{flag.name}", action="store_true", help=text)
        return
    choices = getattr(flag.parser, "enum_values", None)
    action = command.add_argument(f"--{flag.name}", choices=choices, help=text)
    if flag.name == "gin_file":
        action.choices = config_names()
    elif flag.name.endswith("_dir") or flag.name == "input":
        action.complete = shtab.DIRECTORY
    elif flag.name in ("genotype", "output", "init_from", "checkpoint"):
        action.complete = shtab.FILE
