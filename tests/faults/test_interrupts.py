"""Signals at any time: one line, status 130, nothing left running."""

import os
import shutil
import signal
import time

import commands
import forked
import pytest
from processes import start


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def is_importing(process, library="libtensorflow_framework"):
    with open(f"/proc/{process.pid}/maps") as file:
        return library in file.read()


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "arguments",
    [
        ("-m", "adl_tf.search", "--gin_file=search.gin"),
        ("-m", "adl_tf.evaluate", "--model_dir=."),
        ("-m", "data_prep.convert_synthetic", "--output_dir=streets"),
    ],
    ids=lambda arguments: arguments[1],
)
def test_while_importing(arguments, number, tmp_path, count):
    (tmp_path / "network.json").touch()  # Of a model directory; read only after the import.
    process = start(arguments, tmp_path)
    # The converter imports TensorFlow late, numpy early.
    library = "libtensorflow_framework" if "adl_tf" in arguments[1] else "_multiarray_umath"
    wait_for(lambda: is_importing(process, library), process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.count("interrupted") == 1 and "Traceback" not in errors
    count("signals", 1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    "module, arguments",
    [
        ("adl_tf.evaluate", lambda trained, out: [f"--model_dir={trained}", f"--output_dir={out}"]),
        ("adl_tf.export", lambda trained, out: [f"--model_dir={trained}", f"--output_dir={out}"]),
        (
            "data_prep.convert_synthetic",
            lambda trained, out: [f"--output_dir={out}", "--num_train=4", "--num_workers=1"],
        ),
    ],
)
def test_outside_of_training(module, arguments, number, trained, tmp_path, count):
    """In the middle of what it writes: nothing half-written stays, and the command goes on."""
    whole = forked.run(module, arguments(trained, tmp_path / "whole"))
    out, middle = tmp_path / "out", len(whole.operations) // 2
    outcome = forked.run(module, arguments(trained, out), kill_at=middle, number=number)
    place = f"{whole.operations[middle]}\n{outcome.stderr[-2000:]}"
    assert outcome.status == 130, place
    assert outcome.stderr.count("interrupted") == 1 and "Traceback" not in outcome.stderr, place
    assert not [name for name in os.listdir(out) if name.endswith(".tmp")], place
    assert forked.run(module, arguments(trained, out)).status == 0
    count("signals", 1)


def test_records_that_vanish_end_a_run_in_one_line(streets, tmp_path, count):
    records, model_dir = str(tmp_path / "streets"), tmp_path / "run"
    shutil.copytree(streets, records)
    arguments = commands.train(records, str(model_dir), "STEPS = 1000000")
    process = start(["-m", "adl_tf.train", *arguments], tmp_path)
    wait_for(lambda: (model_dir / "checkpoint").exists(), process)
    shutil.rmtree(records)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 1, errors
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and "Traceback" not in errors, errors
    assert "the file is no longer there" in lines[0] and records in lines[0]
    count("photos and inputs", 1)
