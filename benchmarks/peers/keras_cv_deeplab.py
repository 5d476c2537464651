"""keras-cv's DeepLabV3Plus from scratch, through adl_tf's training, with the recommended recipe.

The steps that the minutes allow are set by a trial.
"""

import json
import os
import shutil
import sys
import time

from adl_tf_auto import measure, run

TRIED = (16, 96)


def main():
    folder, output, network, minutes, seed = sys.argv[1:]
    records = os.path.join(output, "records")
    run("convert", "folder", f"--input_dir={folder}", f"--output_dir={records}")
    common = [
        "--gin_file=recommended_train.gin",
        f"--gin_param=DATASET_DIR = {records!r}",
        f"--gin_param=RunNetwork.network = {network!r}",
        f"--gin_param=SEED = {seed}",
    ]

    def train(name, steps):
        started = time.time()
        every = f"--gin_param=run_training.validate_every = {steps}"
        directory = os.path.join(output, name)
        run("train", *common, f"--gin_param=STEPS = {steps}", every, f"--model_dir={directory}")
        return time.time() - started

    fewer, more = (train(f"trial_{steps}", steps) for steps in TRIED)
    step = max(1e-3, (more - fewer) / (TRIED[1] - TRIED[0]))
    fixed = max(0.0, more - TRIED[1] * step)
    steps = max(1, int((60 * float(minutes) - fixed) / step))
    started = time.time()
    train("train", steps)
    trained = time.time()
    exported, predicted = os.path.join(output, "export"), os.path.join(output, "predicted")
    run("export", f"--model_dir={output}/train", f"--output_dir={exported}")
    val = os.path.join(folder, "images", "val")
    first = os.path.join(val, sorted(os.listdir(val))[0])
    run("predict", f"--export_dir={exported}", f"--output_dir={predicted}_first", first)
    first = time.time()
    run("predict", f"--export_dir={exported}", f"--output_dir={predicted}", val)
    shutil.copytree(os.path.join(predicted, "labels"), os.path.join(output, "labels"))
    result = {
        "minutes": (trained - started) / 60,
        "steps": steps,
        "to_first_prediction": (first - started) / 60,
        **measure(exported, val),
    }
    print(json.dumps({name: round(value, 3) for name, value in result.items()}))


if __name__ == "__main__":
    main()
