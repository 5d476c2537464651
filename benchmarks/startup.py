"""How long programs take to answer help and mistakes, as a share of importing TensorFlow.

python benchmarks/startup.py [--repeats=5]

Runs each command beside the import, in turns, so that what else the machine does slows both; takes
the fastest of each, and prints one JSON line last. At most a tenth is the goal.
"""

import json
import os
import subprocess
import sys
import tempfile
import time

from absl import app, flags

GOAL = 0.1
CASES = {
    "list": ["adl_tf"],
    "help": ["adl_tf.search", "--help"],
    "help of auto": ["adl_tf.auto", "--help"],
    "help of export": ["adl_tf.export", "--help"],
    "unknown flag": ["adl_tf.train", "--model_dri=x"],
    "no such gin file": ["adl_tf.search", "--gin_file=serach.gin"],
    "unknown macro": ["adl_tf.search", "--gin_file=search.gin", "--gin_param=STEPSS = 1"],
    "unknown binding": ["adl_tf.search", "--gin_file=search.gin", "--gin_param=RunData.crop = 1"],
    "no such data set": ["adl_tf.search", "--gin_file=search.gin", "--gin_param=DATASET_DIR = 'x'"],
    "no such genotype": ["adl_tf.train", "--gin_file=train.gin", "--genotype=x.json"],
    "no such network": ["adl_tf.evaluate", "--model_dir=x"],
    "no such photo": ["adl_tf.predict", "--preset=camvid", "--output_dir=out", "x.jpg"],
    "no such folder": ["adl_tf.auto", "x"],
}


def main(argv):
    del argv
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    environment = {**os.environ, "PYTHONPATH": root}
    commands = {
        "import": ["-c", "import tensorflow"],
        **{name: ["-m", *arguments] for name, arguments in CASES.items()},
    }
    seconds = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(flags.FLAGS.repeats):
            for name, arguments in commands.items():
                started = time.perf_counter()
                subprocess.run(
                    [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True
                )
                seconds[name].append(time.perf_counter() - started)
    fastest = {name: min(times) for name, times in seconds.items()}
    shares = {name: fastest[name] / fastest["import"] for name in CASES}
    for name, share in shares.items():
        print(f"{name:20} {fastest[name]:6.2f} s {share:6.1%}", file=sys.stderr)
    result = {name: round(share, 3) for name, share in shares.items()}
    print(json.dumps({"import_seconds": round(fastest["import"], 2), "shares": result}))
    sys.exit(0 if max(shares.values()) <= GOAL else 1)


if __name__ == "__main__":
    flags.DEFINE_integer("repeats", 5, "Runs of each.", lower_bound=1)
    app.run(main)
