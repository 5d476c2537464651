"""Programs as real processes, for the tests that stop and kill them."""

import signal
import subprocess
import sys
import time

import tensorflow as tf


def run(arguments, cwd):
    """Runs Python with arguments to its end; returns status and output."""
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=300
    )


def start(arguments, cwd):
    """Starts Python with arguments, its output in pipes."""
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell starts what it puts into the background with SIGINT ignored, pytest included.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def start_and_signal(arguments, cwd, model_dir, checkpoint, number):
    """Sends a signal as soon as a checkpoint at or after a step exists; returns the status."""
    process = start(arguments, cwd)
    for _ in range(3000):
        saved = tf.train.latest_checkpoint(model_dir)
        if saved and int(saved.rpartition("-")[2]) >= checkpoint:
            break
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    return process.returncode, errors


def tensors(model_dir):
    """All values of a run's newest checkpoint, by name."""
    reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(model_dir))
    return {
        name: reader.get_tensor(name)
        for name in reader.get_variable_to_shape_map()
        if name.endswith("VARIABLE_VALUE") and not name.startswith("save_counter")
    }
