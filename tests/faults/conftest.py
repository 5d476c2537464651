"""Data and commands of the fault suite."""

import collections
import os
import subprocess
import sys

import commands
import forked
import pytest
from quick_stages import make_folder

FOLDER = os.path.dirname(os.path.abspath(__file__))
# For forked programs and for those of their own.
HELPERS = os.path.join(os.path.dirname(FOLDER), "helpers")
os.environ["PYTHONPATH"] = os.pathsep.join(
    filter(None, (FOLDER, HELPERS, os.environ.get("PYTHONPATH", "")))
)


@pytest.fixture(scope="session")
def streets(tmp_path_factory):
    """Records of a few tiny street scenes; drawn in another process."""
    directory = str(tmp_path_factory.mktemp("records") / "streets")
    program = (
        "from data_prep import convert_synthetic as c; "
        f"c.build({directory!r}, num_train=8, num_val=2, height=32, width=48)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    return directory


@pytest.fixture(scope="session")
def trained(streets, tmp_path_factory):
    """The directory of a training of the tiny network on these records."""
    directory = str(tmp_path_factory.mktemp("trained"))
    outcome = forked.run("adl_tf.train", commands.train(streets, directory))
    assert outcome.status == 0, outcome.stderr[-3000:]
    return directory


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A folder of a few images and masks, for whole runs."""
    return str(make_folder(tmp_path_factory.mktemp("photos")))


@pytest.fixture
def count(record_property):
    """Counts cases by kind, for the table of docs/reliability.md; reports carry them to the end."""

    def add(kind, number):
        record_property(f"faults, {kind}", number)

    return add


def pytest_terminal_summary(terminalreporter):
    totals = collections.Counter()
    for report in terminalreporter.getreports("passed"):
        for name, number in report.user_properties:
            if name.startswith("faults, "):
                totals[name] += number
    for name, number in sorted(totals.items()):
        terminalreporter.write_line(f"{name}: {number}")
