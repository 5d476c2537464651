"""The tests that docs/data_formats.md names exist."""

import pathlib
import re

ROOT = pathlib.Path(__file__).parents[2]
TESTS = ROOT / "tests" / "data_prep"


def rows():
    """Lines of the tables but their heads, and the last cell of each."""
    for line in (ROOT / "docs" / "data_formats.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("| ") and not line.endswith("| test |"):
            yield line, line.rstrip("| ").rpartition("|")[2].strip()


def test_each_row_names_tests_that_exist():
    sources = {path.name: path.read_text(encoding="utf-8") for path in TESTS.glob("test_*.py")}
    everything = "\n".join(sources.values())
    count = 0
    for line, cell in rows():
        names = re.findall(r"`([^`]+)`", cell)
        assert names or cell.startswith("the same"), line
        for name in names:
            function, _, case = name.rstrip("]").partition("[")
            if function.endswith(".py"):
                assert (ROOT / function).exists() or function in sources, line
            elif function:
                ending = r"\w*\(" if function.endswith("...") else r"\("
                pattern = rf"def {function.rstrip('.')}{ending}"
                assert re.search(pattern, everything), f"{name} is no test: {line}"
            if case:
                assert re.search(rf'"{re.escape(case)}"|def {re.escape(case)}\(', everything), line
        count += 1
    assert count > 60
