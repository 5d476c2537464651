"""Is the search step as fast as it was? This checkout next to an older revision of it.

python benchmarks/versions.py --revision=9ae2e1d [--crop=129] [--rounds=2] [--repeats=5]

Each revision runs its own `benchmarks/search_step.py`, in processes of its own and in turn
(old, new, new, old, ...). The figures are medians over `repeats` steps of a process, then over a
revision's processes, in CPU seconds of all cores, which other programs on the machine disturb less
than wall seconds. Prints one JSON line last; ratios are new / old, below 1 where the new one is
faster.
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
ROUNDS = flags.DEFINE_integer("rounds", 2, "Processes of each revision.")
REPEATS = flags.DEFINE_integer("repeats", 5, "Steps of each kind in a process.")
FIGURES = ("weight_step", "bilevel_step", "peak_gb")

# The script of any revision, with its clock replaced: seconds of all threads of the process.
MEASURE = """
import sys, time
sys.path[:0] = [{checkout!r}, {checkout!r} + "/benchmarks"]
time.perf_counter = time.process_time
import search_step
search_step.measure_ours({crop}, {repeats}, True)
"""


def measure(checkout):
    """One process of the revision in `checkout`; a dict of its figures."""
    script = MEASURE.format(checkout=checkout, crop=CROP.value, repeats=REPEATS.value)
    # Older revisions left oneDNN to TensorFlow, which leaves it off on some processors.
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "1"}
    output = subprocess.run(
        [sys.executable, "-c", script],
        cwd=checkout,
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout
    return json.loads(output.splitlines()[-1])


def main(argv):
    del argv
    with tempfile.TemporaryDirectory() as directory:
        old = os.path.join(directory, "old")
        git = ["git", "-C", ROOT, "worktree"]
        subprocess.run([*git, "add", "--detach", old, REVISION.value], check=True)
        try:
            measured = {"old": [], "new": []}
            for round_number in range(ROUNDS.value):
                order = ["old", "new"] if round_number % 2 == 0 else ["new", "old"]
                for name in order:
                    measured[name].append(measure(old if name == "old" else ROOT))
                    print(name, measured[name][-1], file=sys.stderr, flush=True)
        finally:
            subprocess.run([*git, "remove", "--force", old], check=True)
    medians = {
        name: {key: statistics.median(row[key] for row in rows) for key in FIGURES}
        for name, rows in measured.items()
    }
    ratios = {key: round(medians["new"][key] / medians["old"][key], 3) for key in FIGURES}
    print(json.dumps({"revision": REVISION.value, "crop": CROP.value, **medians, "ratios": ratios}))


if __name__ == "__main__":
    flags.mark_flag_as_required("revision")
    app.run(main)
