"""Is the search step as fast as it was? This checkout next to an older revision of it.

python benchmarks/versions.py --revision=9ae2e1d [--crop=129] [--repeats=10]

Each revision runs its own `benchmarks/search_step.py` in a process of its own; the two take their
steps in turn, one waiting while the other works, so that both see the same machine. Figures are
medians in CPU seconds of all cores. Prints one JSON line last; ratios are the medians of new / old
step by step, below 1 where the new one is faster.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile

from absl import app, flags

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
REVISION = flags.DEFINE_string("revision", None, "The older revision, as git names it.")
CROP = flags.DEFINE_integer("crop", 129, "Side of the crop.")
REPEATS = flags.DEFINE_integer("repeats", 10, "Steps of each kind.")

# Replaces the clock of the script: before a step it waits for its turn, after it it says how many
# seconds all threads of the process took.
MEASURE = """
import inspect, sys, time, types
sys.path[:0] = [{checkout!r}, {checkout!r} + "/benchmarks"]
import search_step

started = []
def clock():
    if started:
        print("step", time.process_time() - started.pop(), flush=True)
    else:
        sys.stdin.readline()
        started.append(time.process_time())
    return 0.0
search_step.time = types.SimpleNamespace(perf_counter=clock, time=time.time)
# Revisions before 2026-11 had no choice of precision.
precision = ["float32"] * ("precision" in inspect.signature(search_step.measure_ours).parameters)
search_step.measure_ours({crop}, {repeats}, True, *precision)
"""


class Stepper:
    """A process that takes the steps of one revision, one at a time."""

    def __init__(self, checkout):
        script = MEASURE.format(checkout=checkout, crop=CROP.value, repeats=REPEATS.value)
        self._process = subprocess.Popen(
            [sys.executable, "-c", script],
            cwd=checkout,
            # Older revisions left oneDNN to TensorFlow, which leaves it off on some processors.
            env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def step(self):
        """CPU seconds of the next step."""
        self._process.stdin.write("go\n")
        self._process.stdin.flush()
        word, seconds = self._process.stdout.readline().split()
        assert word == "step"
        return float(seconds)

    def peak_memory(self):
        """Gigabytes, after the last step."""
        # Not by communicate(), which does not see what readline() has read ahead.
        output = self._process.stdout.read()
        self._process.wait()
        return json.loads(output.splitlines()[-1])["peak_gb"]


def measure(checkouts):
    """Both revisions' steps in turn, by kind of step; and their peaks of memory."""
    steppers = {name: Stepper(checkout) for name, checkout in checkouts.items()}
    seconds = {}
    for kind in ("weight_step", "bilevel_step"):
        seconds[kind] = {name: [] for name in steppers}
        for repeat in range(-1, REPEATS.value):
            for name in sorted(steppers, reverse=repeat % 2 == 0):
                step = steppers[name].step()
                if repeat >= 0:  # The one before traces the graph.
                    seconds[kind][name].append(step)
            print(kind, repeat + 1, "of", REPEATS.value, file=sys.stderr, flush=True)
    return seconds, {name: stepper.peak_memory() for name, stepper in steppers.items()}


def main(argv):
    del argv
    with tempfile.TemporaryDirectory() as directory:
        old = os.path.join(directory, "old")
        git = ["git", "-C", ROOT, "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", old, REVISION.value], check=True)
        try:
            seconds, peaks = measure({"old": old, "new": ROOT})
        finally:
            subprocess.run([*git, "remove", "--force", old], check=True)
    result = {"revision": REVISION.value, "crop": CROP.value, "peak_gb": peaks}
    for kind, steps in seconds.items():
        ratios = [new / old for old, new in zip(steps["old"], steps["new"])]
        result[kind] = {
            **{name: round(statistics.median(values), 3) for name, values in steps.items()},
            "ratio": round(statistics.median(ratios), 3),
        }
    print(json.dumps(result))


if __name__ == "__main__":
    flags.mark_flag_as_required("revision")
    app.run(main)
