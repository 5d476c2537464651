"""Rules of CONTRIBUTING.md that a linter does not know."""

import ast
import os

import pytest

ROOT = os.path.dirname(os.path.dirname(__file__))
LIMIT = 60


def code_lines(function):
    """Lines of a function without its docstring."""
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        lines -= docstring.end_lineno - docstring.lineno + 1
    return lines


def functions(package):
    """(place, function) of all functions of a package outside drawing."""
    for folder, _, names in os.walk(os.path.join(ROOT, package)):
        if os.path.basename(folder) == "visualization":
            continue
        for name in sorted(names):
            if name.endswith(".py"):
                path = os.path.join(folder, name)
                with open(path, encoding="utf-8") as file:
                    tree = ast.parse(file.read())
                for node in ast.walk(tree):
                    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                        yield f"{os.path.relpath(path, ROOT)}: {node.name}", node


@pytest.mark.parametrize("package", ["adl_tf", "data_prep"])
def test_functions_are_short(package):
    lengths = {place: code_lines(function) for place, function in functions(package)}
    assert len(lengths) > 100
    assert {place: lines for place, lines in lengths.items() if lines > LIMIT} == {}


def test_the_docstring_does_not_count():
    source = 'def f(\n  a,\n):\n  """One.\n\n  Two.\n  """\n  return a\n'
    assert code_lines(ast.parse(source).body[0]) == 4
