"""Gin files: read and checked without importing what they bind, which would import TensorFlow."""

import ast
import difflib
import functools
import importlib.util
import itertools
import os
import re
import tokenize
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Set

from gin import config_parser

PACKAGE = os.path.dirname(os.path.abspath(__file__))
CONFIG_DIR = os.path.join(os.path.dirname(PACKAGE), "gin_configs")
# Set in the environment of programs that import nothing that a configuration names.
NO_IMPORTS = "ADL_TF_NO_IMPORTS"
# What gin itself lets files bind and refer to.
_GIN = ("macro", "constant", "singleton")
_CONFIGURABLE = re.compile(
    r"^@configurable\b.*\n(?:@.*\n)*(?:class|def) (\w+)"
    r"|= external_configurable\((\w+)\)",
    re.MULTILINE,
)


class Statements(NamedTuple):
    """Statements of gin files and bindings, in their order.

    Attributes:
      imports: modules that they import.
      bindings: those of macros too, which have no argument.
      macros: names of the macros that they use.
      references: names of what they refer to by "@".
    """

    imports: List[config_parser.ImportStatement]
    bindings: List[config_parser.BindingStatement]
    macros: Set[str]
    references: Set[str]

    @property
    def values(self) -> Dict[str, object]:
        """Of the macros that are set; the last one wins."""
        return {b.selector: b.value for b in self.bindings if not b.arg_name and not b.scope}


class _Names(config_parser.ParserDelegate):
    """Notes the names in values; a value that uses a macro or refers to something is not known."""

    def __init__(self):
        self.macros, self.references = set(), set()

    def configurable_reference(self, scoped_configurable_name, evaluate):
        self.references.add(scoped_configurable_name)
        return

    def macro(self, macro_name):
        self.macros.add(macro_name)
        return


def config_names() -> List[str]:
    """The gin files in gin_configs/, by the names that `find_config` takes."""
    return sorted(
        os.path.relpath(os.path.join(folder, file), CONFIG_DIR)
        for folder, _, files in os.walk(CONFIG_DIR)
        for file in files
        if file.endswith(".gin")
    )


def config_folders() -> List[str]:
    """gin_configs/ and its folders: in all of them a gin file is found by its name alone."""
    folders = [folder for folder, _, _ in os.walk(CONFIG_DIR) if "__pycache__" not in folder]
    return sorted(folders)


def find_config(name: str) -> str:
    """The path of a gin file, given as that or by its name in gin_configs/ or a folder there.

    Raises:
      ValueError: no such file.
    """
    for path in (name, *(os.path.join(folder, name) for folder in config_folders())):
        if os.path.isfile(path):
            return path
    near = difflib.get_close_matches(name, config_names(), 1)
    hint = f"did you mean {near[0]}?" if near else "give a path, or a name in gin_configs/."
    raise ValueError(f"gin: {name}: no such file; {hint}")


def read_statements(gin_files: Sequence[str], gin_params: Sequence[str]) -> Statements:
    """Reads gin files with those that they include, each once, then single bindings.

    Raises:
      ValueError: a missing file, or a syntax error.
    """
    names = _Names()
    found = Statements([], [], names.macros, names.references)
    seen: Set[str] = set()
    files = (s for name in gin_files for s in _read_file(name, names, seen))
    params = (s for text in gin_params for s in _read_text(text, repr(text), names, seen))
    for statement in itertools.chain(files, params):
        if isinstance(statement, config_parser.ImportStatement):
            found.imports.append(statement)
        elif isinstance(statement, config_parser.BindingStatement):
            found.bindings.append(statement)
    return found


def _read_file(name: str, names: _Names, seen: Set[str]) -> Iterator:
    path = find_config(name)
    if path not in seen:
        seen.add(path)
        with open(path, encoding="utf-8", errors="replace") as file:
            yield from _read_text(file.read(), name, names, seen)


def _read_text(text: str, place: str, names: _Names, seen: Set[str]) -> Iterator:
    for statement in _parse(text, place, names):
        if isinstance(statement, config_parser.IncludeStatement):
            yield from _read_file(statement.filename, names, seen)
        else:
            yield statement


def _parse(text: str, place: str, names: _Names) -> Iterator:
    try:
        yield from config_parser.ConfigParser(text, names)
    except SyntaxError as error:
        line = f"line {error.lineno}: " if error.lineno else ""
        reason = " ".join(str(error.args[0]).split())
        raise ValueError(f"gin: {place}: {line}{reason}") from error
    except tokenize.TokenError as error:
        raise ValueError(f"gin: {place}: {error.args[0]}.") from error


def check_gin(statements: Statements, imports: bool = True) -> None:
    """Checks what can be known of a configuration without running it.

    Args:
      statements: statements of the configuration.
      imports: whether it may import modules, which runs their code.

    Raises:
      ValueError: a module that is not there or not allowed, a macro that is set but not used, or a
        name or argument that nothing has.
    """
    check_imports(statements, imports)
    check_macros(statements)
    if statements.imports:
        return  # They may define what is bound.
    for name in statements.references:
        _check_name(name)
    for binding in statements.bindings:
        if binding.arg_name:
            _check_name(binding.selector, binding.arg_name)


def check_imports(statements: Statements, imports: bool = True) -> None:
    """Raises ValueError for an import of a module that is not there or not allowed."""
    for statement in statements.imports:
        if not imports or NO_IMPORTS in os.environ:
            raise ValueError(f"gin: {statement.format()!r} is not allowed with --nogin_imports.")
        package = statement.module.partition(".")[0]
        if not importlib.util.find_spec(package):
            raise ValueError(
                f"gin: {statement.format()!r}: no module {package!r}; start in its directory, or "
                "add that to PYTHONPATH."
            )


def check_macros(statements: Statements) -> None:
    """Raises ValueError for a macro that is set but never used, as one that is misspelt."""
    used = sorted(statements.macros)
    for name in statements.values:
        if name not in used:
            near = difflib.get_close_matches(name, used, 1)
            raise ValueError(
                f"gin: {name} is set but not used by these configs; "
                + (f"did you mean {near[0]}?" if near else f"they use {', '.join(used) or 'none'}.")
            )


def _check_name(selector: str, argument: Optional[str] = None) -> None:
    name = selector.rpartition("/")[2].rpartition(".")[2]
    if name in _GIN:
        return
    known = _configurables()
    if name not in known:
        near = difflib.get_close_matches(name, known, 1)
        raise ValueError(
            f"gin: nothing is called {selector!r}" + (f"; did you mean {near[0]}?" if near else ".")
        )
    arguments = _arguments(known[name])
    if argument and arguments is not None and argument not in arguments:
        near = difflib.get_close_matches(argument, arguments, 1)
        raise ValueError(
            f"gin: {name} has no {argument!r}; "
            + (f"did you mean {near[0]}?" if near else f"it has {', '.join(arguments)}.")
        )


@functools.cache
def _configurables() -> Dict[str, str]:
    """Name -> source of everything in the package that gin can bind.

    What a program imports decides which of these it knows; gin itself tells that, later.
    """
    texts = []
    for folder, _, files in os.walk(PACKAGE):
        for file in files:
            if file.endswith(".py"):
                with open(os.path.join(folder, file), encoding="utf-8") as source:
                    texts.append(source.read())
    names = {a or b for text in texts for a, b in _CONFIGURABLE.findall(text)}
    sources = {}
    for text in texts:
        for name in names.intersection(re.findall(r"^(?:class|def) (\w+)", text, re.MULTILINE)):
            block = rf"^(?:class|def) {name}\b.*?(?=^[^\s)]|\Z)"
            sources[name] = re.search(block, text, re.MULTILINE | re.DOTALL)[0]
    return sources


def _arguments(source: str) -> Optional[List[str]]:
    """Arguments of a function, of a class's constructor or of a dataclass; None if any will do."""
    (node,) = ast.parse(source).body
    if isinstance(node, ast.ClassDef):
        constructors = [part for part in node.body if getattr(part, "name", "") == "__init__"]
        if not constructors:
            fields = [part for part in node.body if isinstance(part, ast.AnnAssign)]
            return [field.target.id for field in fields]
        node = constructors[0]
    parts = node.args
    if parts.kwarg:
        return None
    names = [part.arg for part in (*parts.posonlyargs, *parts.args, *parts.kwonlyargs)]
    return [name for name in names if name != "self"]
