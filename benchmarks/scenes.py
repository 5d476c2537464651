"""Whether lines need fine strides and dots coarse ones, at equal Multi-Adds.

python benchmarks/scenes.py [--scenes=lines,dots] [--seeds=3] [--steps=600]

Trains a network on each of five paths by train.gin, on images of 129x129 that are drawn here. Each
is as wide as the budget of its cells allows: what they cost at stride 4 with F = 16.
Appends a line for each training to OUTPUT_DIR/SCENE.jsonl and leaves out those that are there.
Prints a table of val mIoU, and one JSON line last: means and deviations by scene and path, and how
far the mean of the coarse paths is above the path at stride 4.
"""

import json
import os
import shutil
import sys
import tempfile

import numpy as np
from absl import app, flags

from adl_tf.configuration import configured_sizes, parse_gin
from adl_tf.model_directory import METRICS_FILE, append_json_line, read_json_lines
from adl_tf.runs.data import RunData
from adl_tf.runs.network import RunNetwork
from adl_tf.runs.training_run import run_training
from adl_tf.space.costs import network_cost
from adl_tf.space.genotype import Genotype
from adl_tf.space.search_space import level_stride
from data_prep import convert_synthetic
from data_prep.scenes import SCENES

CELL = [[(0, "sep_conv_3x3"), (1, "sep_conv_3x3")]]
FINE, COARSE = "4 4 4 4 4 4", ("4 8 16 16 16 16", "4 8 16 32 32 32")
PATHS = {
    FINE: (0, 0, 0, 0, 0, 0),
    "4 8 8 8 8 8": (0, 1, 1, 1, 1, 1),
    "4 8 16 16 8 4": (0, 1, 2, 2, 1, 0),
    COARSE[0]: (0, 1, 2, 2, 2, 2),
    COARSE[1]: (0, 1, 2, 3, 3, 3),
}
SIDE = 129
FINE_F = 16  # What the cells at stride 4 then cost is the budget.
BINDINGS = (
    f"CROP_SIZE = {SIDE}",
    "DATASET_DIR = ''",
    # One pixel wide is one pixel wide in every crop.
    "train_stream.min_scale = 1.0",
    "train_stream.max_scale = 1.0",
    # As in the supernet: what is known about details has to pass through all cells.
    "NetworkSizes.low_level = 1",
    "NetworkSizes.decoder = 4",
    "training_optimizer.initial_rate = 0.05",
)


def cost(genotype, filter_multiplier):
    """Multi-Adds of the cells, which are what the path is about."""
    num_classes = 4  # Of no effect on the cells.
    size = num_classes, (SIDE, SIDE), configured_sizes()
    return network_cost(genotype, filter_multiplier, *size).cells.multi_adds


def widest(genotype, budget):
    """The largest F whose cells cost at most the budget."""
    filter_multiplier = 1
    while cost(genotype, filter_multiplier + 1) <= budget:
        filter_multiplier += 1
    return filter_multiplier


def train(dataset_dir, genotype, filter_multiplier, seed):
    """Val mIoU, mean training loss over all steps, and seconds of a training."""
    steps = flags.FLAGS.steps
    model_dir = tempfile.mkdtemp()
    try:
        result = run_training(
            model_dir,
            RunData(dataset_dir, seed=seed),
            RunNetwork(genotype, filter_multiplier=filter_multiplier),
            steps=steps,
            validate_every=steps,
        )
        metrics = read_json_lines(os.path.join(model_dir, METRICS_FILE), key="epoch", of=int)
    finally:
        shutil.rmtree(model_dir)
    loss = metrics[max(metrics)]["loss"]
    return {"val_miou": result["val_miou"], "loss": loss, "seconds": result["seconds"]}


def records(scene):
    """Directory of the images of a scene."""
    dataset_dir = os.path.join(flags.FLAGS.data_dir, f"scene_{scene}")
    convert_synthetic.build(dataset_dir, scene=scene, num_train=120, num_val=40)
    return dataset_dir


def measure(scene, levels, seed):
    """The line of a training on one path, trained unless it is there."""
    options = flags.FLAGS
    path = os.path.join(options.output_dir, f"{scene}.jsonl")
    strides = " ".join(str(level_stride(level)) for level in levels)
    key = f"{strides}, seed {seed}, {options.steps} steps"
    known = read_json_lines(path, key="training")
    if key in known:
        return known[key]
    dataset_dir = records(scene)
    genotype = Genotype(levels, CELL)
    width = widest(genotype, cost(Genotype(PATHS[FINE], CELL), FINE_F))
    line = {"training": key, "strides": strides, "seed": seed, "steps": options.steps}
    line.update(filter_multiplier=width, cell_multi_adds=cost(genotype, width))
    line.update(train(dataset_dir, genotype, width, seed))
    append_json_line(path, line)
    print(scene, json.dumps(line), file=sys.stderr)
    return line


def summarize(scene):
    """F, Multi-Adds, mIoU of each seed and their mean by path; coarse paths minus the fine one."""
    options = flags.FLAGS
    lines = read_json_lines(os.path.join(options.output_dir, f"{scene}.jsonl"), key="training")
    rows = {}
    for strides in PATHS:
        keys = [f"{strides}, seed {s}, {options.steps} steps" for s in range(options.seeds)]
        own = [lines[key] for key in keys]
        mious = [100 * line["val_miou"] for line in own]
        rows[strides] = {
            **{key: own[0][key] for key in ("filter_multiplier", "cell_multi_adds")},
            "miou": float(np.mean(mious)),
            "deviation": float(np.std(mious, ddof=1)) if len(mious) > 1 else None,
            "mious": mious,
            "loss": float(np.mean([line["loss"] for line in own])),
        }
    coarse = np.mean([rows[strides]["miou"] for strides in COARSE])
    return {"paths": rows, "coarse_minus_fine": float(coarse - rows[FINE]["miou"])}


def main(argv):
    del argv
    options = flags.FLAGS
    parse_gin(["train.gin"], BINDINGS)
    os.makedirs(options.output_dir, exist_ok=True)
    for seed in range(options.seeds):
        for scene in options.scenes:
            for levels in PATHS.values():
                measure(scene, levels, seed)
    result = {scene: summarize(scene) for scene in options.scenes}
    for scene, summary in result.items():
        for strides, row in summary["paths"].items():
            mious = ", ".join(f"{miou:.1f}" for miou in row["mious"])
            print(
                f"| {scene} | {strides} | {row['filter_multiplier']} | "
                f"{row['cell_multi_adds'] / 1e6:.1f} | **{row['miou']:.1f}** | {mious} | "
                f"{row['loss']:.3f} |"
            )
    print(json.dumps(result))


if __name__ == "__main__":
    flags.DEFINE_list("scenes", [name for name in SCENES if name != "street"], "To train on.")
    flags.DEFINE_integer("seeds", 3, "Trainings of each path.", lower_bound=1)
    flags.DEFINE_integer("steps", 600, "Of each training.", lower_bound=1)
    flags.DEFINE_string("data_dir", "data", "Where the records are, or are drawn.")
    flags.DEFINE_string("output_dir", "benchmarks/scenes", "Of the lines.")
    app.run(main)
