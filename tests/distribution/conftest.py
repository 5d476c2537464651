"""Data and processes for the tests of distribution."""

import subprocess
import sys

import pytest
from workers import Worker, free_addresses


@pytest.fixture(scope="module")
def streets(tmp_path_factory):
    """Records of a few tiny street scenes; drawn in another process."""
    directory = str(tmp_path_factory.mktemp("records") / "streets")
    program = (
        "from data_prep import convert_synthetic as c; "
        f"c.build({directory!r}, num_train=12, num_val=5, height=32, width=48)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
    return directory


@pytest.fixture(scope="module")
def start_workers(tmp_path_factory):
    """Starts workers with the same arguments; kills at the end what is left of them."""
    started, directory = [], tmp_path_factory.mktemp("here")

    def start(arguments, indices=(0, 1)):
        addresses = free_addresses(2)
        workers = [Worker(arguments, addresses, index, directory) for index in indices]
        started.extend(workers)
        return workers

    yield start
    for worker in started:
        worker.kill()
