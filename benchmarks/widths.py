"""Long trainings of wide and of ordinary random networks of equal Multi-Adds.

python benchmarks/widths.py --dataset_dir=DIR --proposals=benchmarks/proposals/camvid_600.jsonl \
    --results=benchmarks/widths/NAME.jsonl [--count=3] [--steps=2000] [--minutes=60]

At equal Multi-Adds the widest random networks learn better in short trainings
(`benchmarks/proposals.py`), so searches take those. Do they in long ones? Trains as many uniform as
widest networks of that benchmark, in turn, by recommended_train.gin on crops of 129, and scores
each on all images of val at its end, once. Prints one JSON line last: mIoU in percent by arm.
"""

import contextlib
import itertools
import json
import os

from absl import app, flags
from trainings import OutOfTime, Trainings

from adl_tf.space.genotype import Genotype, save_genotype

OPTIONS = flags.FLAGS
ARMS = ("uniform", "widest")


def main(argv):
    del argv
    trainings = Trainings(OPTIONS.results, OPTIONS.output_dir, OPTIONS.minutes)
    with open(OPTIONS.proposals) as file:
        networks = {line["key"]: line for line in map(json.loads, file)}
    bindings = [
        f"DATASET_DIR = {OPTIONS.dataset_dir!r}",
        "CROP_SIZE = 129",
        f"STEPS = {OPTIONS.steps}",
        f"run_training.validate_every = {OPTIONS.steps}",
    ]
    with contextlib.suppress(OutOfTime):
        for index, arm in itertools.product(range(OPTIONS.count), ARMS):
            network = networks[f"{arm}/{index}"]
            path = os.path.join(OPTIONS.output_dir, f"{arm}_{index}.json")
            genotype, size = Genotype(**network["genotype"]), network["sizes"]
            save_genotype(genotype, path, filter_multiplier=network["f"], sizes=size)
            key, start = f"{arm}/{index}/{OPTIONS.steps}", f"--genotype={path}"
            trainings.run_program(key, "recommended_train.gin", bindings, start, f=network["f"])
    scores = {arm: [] for arm in ARMS}
    for key, line in trainings.lines.items():
        scores[key.split("/")[0]].append(line["miou"])
    print(json.dumps(scores))


if __name__ == "__main__":
    flags.DEFINE_string("dataset_dir", None, "Records.", required=True)
    flags.DEFINE_string("proposals", None, "Lines of benchmarks/proposals.py.", required=True)
    flags.DEFINE_string("results", None, "JSON lines, one for each training.", required=True)
    flags.DEFINE_string("output_dir", "runs/widths", "Directory of the trainings.")
    flags.DEFINE_integer("count", 3, "Networks of each kind.", lower_bound=1)
    flags.DEFINE_integer("steps", 2000, "Of a training.", lower_bound=1)
    flags.DEFINE_float("minutes", 60, "After which no training is begun.")
    app.run(main)
