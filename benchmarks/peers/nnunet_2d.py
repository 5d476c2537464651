"""nnU-Net v2, 2D, by its command lines: plan and preprocess, train on all, predict.

Its epochs have 250 steps, each of minutes to hours on a few cores, so the trainer of
nnunet_trainers/ has epochs of as many steps as fit, by a trial. All else is its own:
plans, augmentation, loss, deep supervision, schedule, mirrored and tiled prediction.
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time

EPOCHS = 10
# Steps of the trial, and those of them that count: the first ones find their batches made.
TRIED, COUNTED = 16, 8
TRAINER = "nnUNetTrainerOfMinutes"
TASK = "Dataset001_Peers"


def main():
    folder, output, _, minutes, seed = sys.argv[1:]
    names = {name: os.path.join(output, name) for name in ("raw", "preprocessed", "results")}
    os.environ.update({f"nnUNet_{name}": path for name, path in names.items()})
    trainers = os.path.join(os.path.dirname(os.path.abspath(__file__)), "nnunet_trainers")
    os.environ.update(nnUNet_extTrainer=trainers, PEERS_SEED=seed)
    os.environ.update(nnUNet_n_proc_DA="1", nnUNet_def_n_proc="1")
    raw = os.path.join(names["raw"], TASK)
    convert(folder, raw)
    started = time.time()
    run("plan_and_preprocess", "-d", "1", "-c", "2d", "-npfp", "1", "-np", "1")
    prepared = time.time() - started
    step, begin = train(names["results"], 1, TRIED)
    shutil.rmtree(names["results"])
    left = 60 * float(minutes) - prepared - begin
    steps = max(1, int(left / step / EPOCHS))
    started = time.time()
    train(names["results"], EPOCHS, steps)
    trained = time.time()
    predicted = os.path.join(output, "predicted")
    common = ["-d", "1", "-c", "2d", "-f", "all", "-tr", TRAINER, "-device", "cpu"]
    common += ["-npp", "1", "-nps", "1"]
    one = os.path.join(output, "one")
    os.makedirs(one)
    cases = sorted(os.listdir(os.path.join(raw, "imagesTs")))
    shutil.copy(os.path.join(raw, "imagesTs", cases[0]), one)
    run("predict", "-i", one, "-o", predicted, *common)
    first = time.time()
    run(
        "predict",
        "-i",
        os.path.join(raw, "imagesTs"),
        "-o",
        predicted,
        *common,
        *"-npp 1 -nps 1".split(),
    )
    every = time.time() - first
    labels = os.path.join(output, "labels")
    os.makedirs(labels)
    for case in cases:
        name = case.replace("_0000.png", ".png")
        shutil.copy(os.path.join(predicted, name), os.path.join(labels, name.removeprefix("val_")))
    weights = find(names["results"], "checkpoint_final.pth")
    with open(find(names["results"], "parameters.json")) as file:
        parameters = json.load(file)
    result = {
        "minutes": (prepared + trained - started) / 60,
        "steps": EPOCHS * steps,
        "to_first_prediction": (prepared + first - started) / 60,
        # It has no export; what its own prediction takes, which is mirrored.
        "latency_ms": 1000 * every / len(cases),
        "megabytes": os.path.getsize(weights) / 1e6,
        "parameters": parameters / 1e6,
    }
    print(json.dumps({name: round(value, 3) for name, value in result.items()}))


def convert(folder, raw):
    """Its layout: RGB images, label maps whose ignored pixels have the id after the last class."""
    import numpy as np
    from PIL import Image

    with open(os.path.join(folder, "classes.txt")) as file:
        classes = file.read().splitlines()
    for name in ("imagesTr", "labelsTr", "imagesTs"):
        os.makedirs(os.path.join(raw, name))
    count = 0
    for split, images in (("train", "imagesTr"), ("val", "imagesTs")):
        for name in sorted(os.listdir(os.path.join(folder, "images", split))):
            stem = f"{split}_{os.path.splitext(name)[0]}"
            image = Image.open(os.path.join(folder, "images", split, name)).convert("RGB")
            image.save(os.path.join(raw, images, f"{stem}_0000.png"))
            if split == "train":
                mask = np.array(Image.open(os.path.join(folder, "masks", split, name)))
                mask[mask >= len(classes)] = len(classes)
                Image.fromarray(mask).save(os.path.join(raw, "labelsTr", f"{stem}.png"))
                count += 1
    # It wants the background first, by this name.
    labels = {"background": 0, **{f"class_{i}": i for i in range(1, len(classes))}}
    fields = {
        "channel_names": {"0": "R", "1": "G", "2": "B"},
        "labels": {**labels, "ignore": len(classes)},
        "numTraining": count,
        "file_ending": ".png",
        "overwrite_image_reader_writer": "NaturalImage2DIO",
    }
    with open(os.path.join(raw, "dataset.json"), "w") as file:
        json.dump(fields, file)


def run(program, *arguments):
    path = os.path.join(os.path.dirname(sys.executable), f"nnUNetv2_{program}")
    subprocess.run([path, *arguments], check=True, stdout=sys.stderr)


def train(results, epochs, steps):
    """Trains; seconds of a step, and of all that is not a step."""
    os.environ.update(PEERS_EPOCHS=str(epochs), PEERS_STEPS=str(steps))
    started = time.time()
    run("train", "1", "2d", "all", "-tr", TRAINER, "-device", "cpu")
    seconds = time.time() - started
    with open(find(results, "steps.txt")) as file:
        times = [float(line) for line in file]
    counted = [b - a for a, b in zip(times, times[1:])][-COUNTED:]
    step = statistics.mean(counted)
    return step, seconds - len(times) * step


def find(directory, ending):
    """The path of a file."""
    for folder, _, files in os.walk(directory):
        for name in files:
            if re.search(re.escape(ending) + "$", name):
                return os.path.join(folder, name)
    raise FileNotFoundError(ending)


if __name__ == "__main__":
    main()
