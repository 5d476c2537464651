"""Another benchmark by several Pythons in turn, such as those of both TensorFlow stacks.

python benchmarks/stacks.py --pythons=classic/bin/python,current/bin/python -- \
    search_step.py --crops=129,321

Runs the benchmark, with the arguments behind `--`, by each Python, round after round. Prints one
JSON line last: by the place of each number that all results have, the medians by Python and
the ratio of the last Python's to the first one's.
"""

import json
import os
import statistics
import subprocess
import sys

from absl import app, flags


def numbers(value, place=()):
    """The numbers of a JSON value by their places in it."""
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, list):
        parts = enumerate(value)
    elif isinstance(value, (int, float)):
        return {"/".join(place): value}
    else:
        return {}
    found = {}
    for key, part in parts:
        found.update(numbers(part, (*place, str(key))))
    return found


def main(argv):
    options = flags.FLAGS
    benchmark = os.path.join(os.path.dirname(os.path.abspath(__file__)), argv[1])
    results = {python: [] for python in options.pythons}
    for turn in range(options.rounds):
        for python, found in results.items():
            command = [python, benchmark, *argv[2:]]
            run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            found.append(numbers(json.loads(run.stdout.splitlines()[-1])))
            print(f"round {turn + 1}, {python}: {found[-1]}", file=sys.stderr, flush=True)
    table = {}
    runs = [run for found in results.values() for run in found]
    for place in (place for place in runs[0] if all(place in run for run in runs)):
        medians = [
            statistics.median(run[place] for run in results[python]) for python in options.pythons
        ]
        ratio = round(medians[-1] / medians[0], 3) if medians[0] else None
        table[place] = {"medians": medians, "ratio": ratio}
    print(json.dumps({"benchmark": argv[1:], "pythons": options.pythons, "table": table}))


if __name__ == "__main__":
    flags.DEFINE_list("pythons", None, "Interpreters, each with this package.", required=True)
    flags.DEFINE_integer("rounds", 2, "How often each runs.", lower_bound=1)
    app.run(main)
