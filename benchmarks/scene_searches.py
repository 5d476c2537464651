"""Whether the paths that searches find on lines and dots are among the best of trained ones.

python benchmarks/scene_searches.py [--scenes=lines,dots] [--searches=5] [--paths=15]

On each scene of `benchmarks/scenes.py`, searches of search.gin's settings with six layers and one
block, from different seeds and each in a process of its own, and their paths trained as that
benchmark trains its five: one cell, F that fills the budget of the cells. So are paths that are
drawn without a search. Appends a line for each search to OUTPUT_DIR/SCENE_searches.jsonl and for
each training to OUTPUT_DIR/SCENE.jsonl, and leaves out those that are there. Prints one JSON line
last: by scene the rank of each search's path among the drawn ones by training loss (0 is the best)
and by val mIoU, and the mean level at which the paths end.

The criterion, fixed beforehand: found paths are in the best fifth by training loss.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile

import numpy as np
from absl import app, flags
from scenes import BINDINGS, CELL, measure, records

from adl_tf.configuration import parse_gin
from adl_tf.model_directory import append_json_line, read_json_lines
from adl_tf.space.sampling import sample_path
from adl_tf.space.search_space import SearchSpace

SPACE = SearchSpace(num_layers=6, num_blocks=len(CELL))
SEARCH = (
    f"NUM_LAYERS = {SPACE.num_layers}",
    f"NUM_BLOCKS = {SPACE.num_blocks}",
    "EPOCHS = 12",
    "ARCH_START_EPOCH = 5",
    "run_gradient_search.trials = None",
    "run_gradient_search.budget = None",
    # As the trainings: one pixel wide is one pixel wide in every crop.
    "train_stream.min_scale = 1.0",
    "train_stream.max_scale = 1.0",
)


def search(scene, seed):
    """The line of a search, run unless it is there."""
    options = flags.FLAGS
    path = os.path.join(options.output_dir, f"{scene}_searches.jsonl")
    known = read_json_lines(path, key="seed", of=int)
    if seed in known:
        return known[seed]
    model_dir = tempfile.mkdtemp()
    own = (*SEARCH, f"DATASET_DIR = {os.path.abspath(records(scene))!r}", f"SEED = {seed}")
    command = [sys.executable, "-m", "adl_tf.search", "--gin_file=search.gin"]
    command += [f"--gin_param={binding}" for binding in own] + [f"--model_dir={model_dir}"]
    try:
        result = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    finally:
        shutil.rmtree(model_dir)
    result = json.loads(result.splitlines()[-1])
    kept = ("path", "cell", "probability", "decision", "arch_steps", "val_miou", "seconds")
    line = {"seed": seed, **{name: result[name] for name in kept}}
    append_json_line(path, line)
    return line


def drawn_paths():
    """Different paths out of all, each as likely as the others."""
    random, paths = np.random.default_rng(0), []
    while len(paths) < flags.FLAGS.paths:
        path = sample_path(SPACE, random)
        if path not in paths:
            paths.append(path)
    return paths


def summarize(scene):
    """Ranks of the paths found, and losses and mIoU of all."""
    found = [search(scene, seed) for seed in range(flags.FLAGS.searches)]
    ours = [measure(scene, tuple(line["path"]), 0) for line in found]
    others = [measure(scene, path, 0) for path in drawn_paths()]
    losses, mious = (np.array([line[key] for line in others]) for key in ("loss", "val_miou"))
    return {
        "paths": [line["strides"] for line in ours],
        "losses": [round(line["loss"], 3) for line in ours],
        "drawn losses": np.sort(losses).round(3).tolist(),
        "ranks by loss": [int((losses < line["loss"]).sum()) for line in ours],
        "ranks by mIoU": [int((mious > line["val_miou"]).sum()) for line in ours],
        "mean level at the end": float(np.mean([line["path"][-1] for line in found])),
        "drawn": float(np.mean([path[-1] for path in drawn_paths()])),
    }


def main(argv):
    del argv
    os.makedirs(flags.FLAGS.output_dir, exist_ok=True)
    parse_gin(["train.gin"], BINDINGS)
    print(json.dumps({scene: summarize(scene) for scene in flags.FLAGS.scenes}))


if __name__ == "__main__":
    flags.DEFINE_list("scenes", ["lines", "dots"], "To search on.")
    flags.DEFINE_integer("searches", 5, "Of each scene.", lower_bound=1)
    flags.DEFINE_integer("paths", 15, "Drawn ones to compare with.", lower_bound=1)
    flags.DEFINE_integer("steps", 600, "Of each training.", lower_bound=1)
    flags.DEFINE_string("data_dir", "data", "Where the records are, or are drawn.")
    flags.DEFINE_string("output_dir", "benchmarks/scenes", "Of the lines.")
    app.run(main)
