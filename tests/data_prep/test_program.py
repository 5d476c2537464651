"""Converters as programs: stopped, killed, two at once, with wrong arguments."""

import json
import os
import pathlib
import signal
import subprocess
import time

import forked
import pytest
from readback import command, environment, hidden

from data_prep import convert_synthetic, verify


def wait_for(condition, seconds=60):
    end = time.time() + seconds
    while not condition():
        assert time.time() < end, "waited in vain"
        time.sleep(0.01)


def children(pid):
    listed = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in listed]


def is_running(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.whole
def test_killed_conversion_leaves_whole_shards_and_resumes(tmp_path):
    options = ["--num_train=300", "--num_val=1", "--num_shards=10", "--num_workers=2"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    arguments = command("convert_synthetic", f"--output_dir={killed}", *options)
    process = subprocess.Popen(arguments, env=environment(), stderr=subprocess.DEVNULL)
    wait_for(lambda: len(list(killed.glob("train-*"))) >= 2)
    workers = children(process.pid)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    wait_for(lambda: not any(map(is_running, workers)))
    survivors = {p: p.stat().st_mtime_ns for p in killed.glob("train-*")}
    assert 2 <= len(survivors) < 11 and not (killed / "dataset.json").exists()

    resumed = forked.run("data_prep.convert_synthetic", [f"--output_dir={killed}", *options])
    assert resumed.result["examples"] == {"train": 300, "val": 1}
    # The last survivor may have been renamed and not yet noted when the signal came.
    kept = [p for p, mtime in survivors.items() if p.stat().st_mtime_ns == mtime]
    assert len(kept) >= len(survivors) - 1
    convert_synthetic.build(whole, num_train=300, num_val=1)
    keys = ("class_pixels", "ignored_pixels", "examples")
    train = [
        json.loads((d / "dataset.json").read_text())["splits"]["train"] for d in (killed, whole)
    ]
    assert all(train[0][key] == train[1][key] for key in keys)
    assert verify.verify(str(killed)) == {"examples": 301, "bad": 0}
    assert hidden(killed) == {".conversion"}


def test_interrupted_conversion_ends_in_one_line(tmp_path):
    """Ctrl-C reaches the whole group of processes."""
    arguments = command("convert_synthetic", f"--output_dir={tmp_path}", "--num_train=2000")
    process = subprocess.Popen(
        [*arguments, "--num_shards=100", "--num_workers=2"],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # A shell starts what it puts in the background with SIGINT ignored, pytest included, and
        # processes inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    wait_for(lambda: len(list(tmp_path.glob("train-*"))) >= 10)
    workers = children(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in errors
    assert "interrupted. The same command resumes where it stopped." in errors
    wait_for(lambda: not any(map(is_running, workers)))


def test_two_conversions_of_one_directory_take_turns(tmp_path):
    arguments = command("convert_synthetic", f"--output_dir={tmp_path}", "--num_train=100")
    pair = [subprocess.Popen(arguments, env=environment(), stderr=subprocess.DEVNULL) for _ in "12"]
    assert [process.wait() for process in pair] == [0, 0]
    assert verify.verify(str(tmp_path)) == {"examples": 116, "bad": 0}


def test_command_line(folder, tmp_path):
    arguments = [f"--input_dir={folder}", f"--output_dir={tmp_path / 'out'}", "--num_workers=1"]
    outcome = forked.run("data_prep.convert_folder", arguments)
    assert outcome.status == 0 and len(outcome.stdout.splitlines()) == 1
    assert outcome.result == {"examples": {"train": 6, "val": 2}, "shards": 6, "skipped": 0}
    assert "8/8" in outcome.stderr  # The progress bar.

    outcome = forked.run("data_prep.verify", [str(tmp_path / "out")])
    assert outcome.status == 0 and outcome.result == {"examples": 8, "bad": 0}


def test_command_line_names_what_is_wrong(folder, tmp_path):
    def error(module, *arguments):
        outcome = forked.run(f"data_prep.{module}", arguments)
        assert not outcome.stdout
        return outcome.error

    nowhere = f"--input_dir={tmp_path / 'x'}"
    assert "x: no such directory" in error("convert_folder", nowhere, "--output_dir=y")
    (folder / "masks/train/3.png").unlink()
    arguments = [f"--input_dir={folder}", f"--output_dir={tmp_path / 'out'}"]
    message = error("convert_folder", *arguments)
    assert "images/train/3.jpg: no mask fits its name; add it to" in message
    assert "no such data set directory" in error("verify", str(tmp_path / "nowhere"))
    outcome = forked.run("data_prep.convert_folder", [])
    assert outcome.status != 0 and "input_dir" in outcome.stderr
