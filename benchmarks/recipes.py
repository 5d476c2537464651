"""Recipes of a training, one change at a time: what does each of them gain?

python benchmarks/recipes.py --dataset_dir=DIR --results=benchmarks/recipes/NAME.jsonl \
    [--genotype=FILE] [--recipes=NAME,...] [--steps=400] [--crop_size=257] [--seeds=2]

Trains the preset further, or a genotype from scratch, by `recommended_train.gin` and by it with one
change: what nnU-Net and Ultralytics do and it does not. Each training is scored on all images of
val at its end, once. A training that has its line is not run again; none is begun after --minutes.
Prints a table of mIoU last, in percent.
"""

import contextlib

from absl import app, flags
from trainings import OutOfTime, Trainings

OPTIONS = flags.FLAGS
PRESET = "camvid"
RECIPES = {
    "recommended_train.gin": [],
    "Dice": ["run_training.loss = @cross_entropy_and_dice"],
    "narrow scales": ["train_stream.min_scale = 0.7", "train_stream.max_scale = 1.4"],
    "averaged weights": ["adam_optimizer.average_decay = 0.99"],
    "warm-up": ["adam_optimizer.warmup = 0.1"],
}


def main(argv):
    del argv
    trainings = Trainings(OPTIONS.results, OPTIONS.output_dir, OPTIONS.minutes)
    with contextlib.suppress(OutOfTime):
        train(trainings)
    for name in RECIPES:
        scores = [x["miou"] for key, x in trainings.lines.items() if key.split("/")[0] == name]
        if scores:
            mean = sum(scores) / len(scores)
            print(f"| {name} | {mean:.1f} | {', '.join(f'{score:.1f}' for score in scores)} |")


def train(trainings):
    """Trains what the results lack."""
    genotype = OPTIONS.genotype
    start = f"--genotype={genotype}" if genotype else f"--init_from={PRESET}"
    for seed in range(OPTIONS.seeds):
        for name in OPTIONS.recipes:
            bindings = [
                f"DATASET_DIR = {OPTIONS.dataset_dir!r}",
                f"CROP_SIZE = {OPTIONS.crop_size}",
                f"STEPS = {OPTIONS.steps}",
                f"SEED = {seed}",
                f"run_training.validate_every = {OPTIONS.steps}",
                *RECIPES[name],
            ]
            key = f"{name}/{OPTIONS.steps}/{seed}"
            trainings.run_program(key, "recommended_train.gin", bindings, start)


if __name__ == "__main__":
    flags.DEFINE_string("dataset_dir", None, "Records to train on and to score.", required=True)
    flags.DEFINE_string("results", None, "JSON lines, one for each training.", required=True)
    flags.DEFINE_string("output_dir", "runs/recipes", "Directory of the trainings.")
    flags.DEFINE_list("recipes", list(RECIPES), "What is trained.")
    flags.DEFINE_string("genotype", None, "What is trained from scratch [the preset, further].")
    flags.DEFINE_integer("steps", 400, "Steps of a training.", lower_bound=1)
    flags.DEFINE_integer("crop_size", 257, "Side of the crops.", lower_bound=33)
    flags.DEFINE_integer("seeds", 2, "Trainings of each recipe.", lower_bound=1)
    flags.DEFINE_float("minutes", 60, "After which no training is begun.")
    app.run(main)
