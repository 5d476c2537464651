"""Recipes of a training, one change at a time: what does each of them gain?

python benchmarks/recipes.py --dataset_dir=DIR --results=benchmarks/recipes/NAME.jsonl \
    [--scratch] [--recipes=NAME,...] [--steps=400] [--crop_size=257] [--seeds=2] [--minutes=60]

Trains the network of the preset, from the preset's weights or from scratch, by
`recommended_train.gin` and by it with one change: what nnU-Net and Ultralytics do and it does not.
Each training is scored on all images of val at its end, once. A training that has its line is not
run again; none is begun after the minutes. Prints a table of mIoU last, in percent.
"""

import os

from absl import app, flags
from program_trainings import ProgramTrainings

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
    trainings = ProgramTrainings(OPTIONS.results, OPTIONS.output_dir, OPTIONS.minutes)
    start = f"--genotype={save_architecture()}" if OPTIONS.scratch else f"--init_from={PRESET}"
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
            trainings.train(key, "recommended_train.gin", bindings, [start])
    for name in RECIPES:
        scores = [x["miou"] for key, x in trainings.lines.items() if key.split("/")[0] == name]
        if scores:
            mean = sum(scores) / len(scores)
            print(f"| {name} | {mean:.1f} | {', '.join(f'{score:.1f}' for score in scores)} |")


def save_architecture():
    """Writes the genotype of the preset with its F and sizes; returns the path."""
    from adl_tf.models.presets import preset_dir
    from adl_tf.models.registry import read_network_description
    from adl_tf.space.genotype import save_genotype

    os.makedirs(OPTIONS.output_dir, exist_ok=True)
    path = os.path.join(OPTIONS.output_dir, "genotype.json")
    network = read_network_description(preset_dir(PRESET))
    size = {"filter_multiplier": network.filter_multiplier, "sizes": network.sizes.to_dict()}
    save_genotype(network.genotype, path, **size)
    return path


if __name__ == "__main__":
    flags.DEFINE_string("dataset_dir", None, "Records to train on and to score.", required=True)
    flags.DEFINE_string("results", None, "JSON lines, one for each training.", required=True)
    flags.DEFINE_string("output_dir", "runs/recipes", "Directory of the trainings.")
    flags.DEFINE_list("recipes", list(RECIPES), "What is trained.")
    flags.DEFINE_bool("scratch", False, "Train from scratch, not from the preset's weights.")
    flags.DEFINE_integer("steps", 400, "Steps of a training.", lower_bound=1)
    flags.DEFINE_integer("crop_size", 257, "Side of the crops.", lower_bound=33)
    flags.DEFINE_integer("seeds", 2, "Trainings of each recipe.", lower_bound=1)
    flags.DEFINE_float("minutes", 60, "After which no training is begun.")
    app.run(main)
