"""What a user would pick instead: other tools on the same images, for the same minutes.

python benchmarks/peers.py --dataset_dir=DIR --tool=NAME --minutes=10 --seed=0 \
    --results=benchmarks/peers/rows.jsonl [--work_dir=runs/peers] [--cores=0]

Each tool is driven by its own command line or documented API with its own defaults, from scratch,
in a virtual environment of its own that is made on first use (benchmarks/peers/TOOL.py is run
there). All get the same images and label maps, of records that `adl convert` has made, as
images/SPLIT/NAME.png and masks/SPLIT/NAME.png of class ids, 255 ignored; the same cores; and the
same minutes for all that comes before a trained network, their own preparation of the data
included. A tool without a limit of its own gets its number of steps by a short trial, which is not
counted. Then it labels the images of val, which are scored here, by one evaluator.

A line that is there already is not run again. A run that fails, or is not done after three times
its minutes, is a line that says so. Prints the line as JSON last:
  miou: percent, of the whole images of val
  to_first_prediction: minutes from the start to the first label map
  latency_ms: of an image of val to its labels, by what the tool exports for serving
  gib: largest memory of a process; megabytes: of what is exported; parameters: millions
"""

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
from absl import app, flags
from PIL import Image

OPTIONS = flags.FLAGS
HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers")
TORCH = ["torch==2.14.1", "torchvision==0.29.1"]
# By name: the script, its variant, and what its environment needs; none is this environment.
TOOLS = {
    "adl_tf": ("adl_tf_auto", "preset", None),
    "adl_tf from scratch": ("adl_tf_auto", "scratch", None),
    "keras-cv": ("keras_cv_deeplab", "deeplab_v3_plus_mobilenet_v3_small", None),
    "ultralytics": (
        "ultralytics_semantic",
        "yolo26n-sem",
        [*TORCH, "ultralytics", "onnx", "onnxruntime", "onnxslim"],
    ),
    "nnU-Net": ("nnunet_2d", "", [*TORCH, "nnunetv2"]),
    **{
        f"smp {name} {encoder}": ("smp_example", f"{name},{encoder}", [*TORCH, "smp"])
        for name in ("Unet", "DeepLabV3Plus")
        for encoder in ("tu-mobilenetv3_small_100", "resnet18")
    },
}
REQUIREMENTS = {
    "smp": ["segmentation-models-pytorch", "albumentations"],
    "onnx": ["onnx", "onnxruntime", "onnxslim"],
}
PATIENCE = 3  # Times the minutes.


def main(argv):
    del argv
    name = os.path.basename(os.path.normpath(OPTIONS.dataset_dir))
    key = f"{name}/{OPTIONS.tool}/{OPTIONS.minutes:g}/{OPTIONS.seed}"
    for line in read_lines(OPTIONS.results):
        if line["key"] == key:
            print(json.dumps(line))
            return
    folder = plain_folder(OPTIONS.dataset_dir, os.path.join(OPTIONS.work_dir, name))
    script, variant, needs = TOOLS[OPTIONS.tool]
    python = environment(script, needs)
    output = os.path.join(
        os.path.abspath(OPTIONS.work_dir), key.replace("/", "_").replace(" ", "_")
    )
    shutil.rmtree(output, ignore_errors=True)
    os.makedirs(output)
    cores = OPTIONS.cores.split(",") if OPTIONS.cores else sorted(os.sched_getaffinity(0))
    line = {"key": key, "cores": len(cores), "date": time.strftime("%Y-%m-%d")}
    line.update(run(python, script, [folder, output, variant], cores))
    labels = os.path.join(output, "labels")
    if "failed" not in line:
        line["miou"], line["iou"] = score(folder, labels)
    with open(OPTIONS.results, "a") as file:
        file.write(json.dumps(line) + "\n")
    print(json.dumps(line))


def read_lines(path):
    if not os.path.exists(path):
        return []
    with open(path) as file:
        return [json.loads(line) for line in file]


def plain_folder(dataset_dir, folder):
    """Writes the records as images and label maps, once."""
    done = os.path.join(folder, "classes.txt")
    if os.path.exists(done):
        return os.path.abspath(folder)
    import adl_tf  # noqa: F401  Before TensorFlow, whose Keras it chooses.
    from adl_tf.data.reader import RecordReader

    for split in ("train", "val"):
        reader = RecordReader(dataset_dir, split)
        for kind in ("images", "masks"):
            os.makedirs(os.path.join(folder, kind, split), exist_ok=True)
        for index in range(reader.num_examples):
            image, label = (np.asarray(array) for array in reader.load(index)[:2])
            for kind, array in (("images", image), ("masks", label)):
                path = os.path.join(folder, kind, split, f"{index:04d}.png")
                Image.fromarray(np.squeeze(array).astype(np.uint8)).save(path)
    names = reader.description.class_names
    with open(done, "w") as file:
        file.write("".join(f"{name}\n" for name in names))
    return os.path.abspath(folder)


def environment(script, needs):
    """The Python of a tool's virtual environment."""
    if needs is None:
        return sys.executable
    directory = os.path.abspath(os.path.join(OPTIONS.environments, script))
    python = os.path.join(directory, "bin", "python")
    if not os.path.exists(os.path.join(directory, "ready")):
        subprocess.run([sys.executable, "-m", "venv", directory], check=True)
        packages = [name for need in needs for name in REQUIREMENTS.get(need, [need])]
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        open(os.path.join(directory, "ready"), "w").close()
    return python


def run(python, script, arguments, cores):
    """Runs a tool; its line's fields."""
    cores = ",".join(map(str, cores))
    command = ["taskset", "-c", cores, python, os.path.join(HERE, f"{script}.py"), *arguments]
    command += [str(OPTIONS.minutes), str(OPTIONS.seed)]
    threads = {"OMP_NUM_THREADS": str(len(cores.split(",")))}
    log = os.path.join(arguments[1], "log.txt")
    with open(log, "w") as file:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
            env={**os.environ, **threads},
            start_new_session=True,
        )
        try:
            printed, _ = process.communicate(timeout=60 * PATIENCE * OPTIONS.minutes + 300)
        except subprocess.TimeoutExpired:
            return {"failed": f"not done after {PATIENCE:g} times its minutes"}
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # What it has started, too.
            process.wait()
    with open(os.path.join(arguments[1], "output.txt"), "w") as file:
        file.write(printed)
    if process.returncode:
        with open(log) as file:
            last = (file.read().strip().splitlines() or ["no message"])[-1]
        return {"failed": last}
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    return {**json.loads(printed.splitlines()[-1]), "gib": round(memory, 2)}


def score(folder, labels):
    """Mean and single IoU of classes that occur in masks or label maps, percent."""
    with open(os.path.join(folder, "classes.txt")) as file:
        classes = len(file.read().split("\n")) - 1
    counts = np.zeros((classes, classes), np.int64)
    masks = os.path.join(folder, "masks", "val")
    for name in sorted(os.listdir(masks)):
        mask = np.asarray(Image.open(os.path.join(masks, name))).astype(int)
        label = np.asarray(Image.open(os.path.join(labels, name))).astype(int)
        if mask.shape != label.shape:
            raise ValueError(f"{name}: {label.shape}, but its mask has {mask.shape}.")
        valid = mask < classes
        pairs = classes * mask[valid] + np.clip(label[valid], 0, classes - 1)
        counts += np.bincount(pairs, minlength=classes**2).reshape(classes, classes)
    both = np.diag(counts)
    either = counts.sum(0) + counts.sum(1) - both
    iou = 100 * both[either > 0] / either[either > 0]
    return round(float(iou.mean()), 2), [round(float(value), 1) for value in iou]


if __name__ == "__main__":
    flags.DEFINE_string("dataset_dir", None, "Records to train on and to score.", required=True)
    flags.DEFINE_enum("tool", None, sorted(TOOLS), "What is run.", required=True)
    flags.DEFINE_float("minutes", 10, "Time of a training.", lower_bound=0.1)
    flags.DEFINE_integer("seed", 0, "Random seed.", lower_bound=0)
    flags.DEFINE_string("results", None, "JSON lines, one for each run.", required=True)
    flags.DEFINE_string("work_dir", "runs/peers", "Directory of what the tools write.")
    flags.DEFINE_string("environments", "runs/peers/environments", "Directory of environments.")
    flags.DEFINE_string("cores", "", "Cores of the runs, such as 0,1 [all].")
    app.run(main)
