"""Does it work on GPUs, how fast, and what differs from the CPU? Short trainings and searches.

python benchmarks/gpu.py [--steps=50]

Each row is a run of its own on the synthetic streets: on the CPU, on one GPU (in float32, in
mixed_float16, and trainings also compiled by XLA), and on all GPUs if there are several. Prints a
table with the seconds of a step, the loss after the last one and the difference of that to the
CPU's, or the line that a run ended with; and one JSON line last. Nobody has run it on a GPU yet:
please send what it prints. It runs without GPUs too, with the CPU's rows alone.
"""

import json
import os
import subprocess
import sys
import tempfile

from absl import app, flags

STEPS = flags.DEFINE_integer("steps", 50, "Steps of each run.", lower_bound=2)

TRAINING = ["adl_tf.train", "--gin_file=train.gin", "--genotype=auto_deeplab"]
SEARCH = ["adl_tf.search", "--gin_file=camvid_search.gin"]
COMMON = ["DATASET_DIR = 'synthetic'", "BATCH_SIZE = 8", "RunData.validation_images = 8"]
SIZES = {
    "training": ["CROP_SIZE = 257"],
    "search": ["CROP_SIZE = 129", "NUM_LAYERS = 6", "NUM_BLOCKS = 3", "FILTER_MULTIPLIER = 8"],
}


def main(argv):
    del argv
    gpus = _gpus()
    print(f"GPUs: {', '.join(gpus) or 'none'}", file=sys.stderr)
    rows = []
    for kind, precision, compiled, visible in _cases(len(gpus)):
        device = "CPU" if not visible else "1 GPU" if len(visible) == 1 else f"{len(visible)} GPUs"
        row = {"run": kind, "device": device, "precision": precision, "xla": compiled}
        row.update(_run(kind, precision, compiled, visible))
        rows.append(row)
        expected = next(r for r in rows if r["run"] == kind)  # The CPU's comes first.
        if "loss" in row and "loss" in expected:
            row["difference"] = round(row["loss"] - expected["loss"], 4)
        print("  ".join(f"{name} {value}" for name, value in row.items()), file=sys.stderr)
    print(json.dumps({"gpus": gpus, "steps": STEPS.value, "rows": rows}))


def _gpus():
    """Names of the GPUs that TensorFlow sees, in a process that gives them back."""
    program = "import json, tensorflow as tf; gpus = tf.config.list_physical_devices('GPU'); "
    program += "details = tf.config.experimental.get_device_details; "
    program += "print(json.dumps([details(g).get('device_name', g.name) for g in gpus]))"
    result = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, check=True)
    return json.loads(result.stdout.splitlines()[-1])


def _cases(gpus):
    """(kind, precision, whether XLA compiles it, numbers of the visible GPUs) of each run."""
    one, several = ([0], list(range(gpus)))
    for kind in SIZES:
        yield kind, "float32", False, []
        for precision in ("float32", "mixed_float16") if gpus else ():
            yield kind, precision, False, one
            if kind == "training":
                yield kind, precision, True, one
            if gpus > 1:
                yield kind, precision, False, several


def _run(kind, precision, compiled, visible):
    """Loss and seconds per step of a run, or how it ended."""
    steps, function = STEPS.value, f"run_{kind}"
    bindings = [*COMMON, *SIZES[kind]]
    if kind == "training":
        bindings += [f"STEPS = {steps}", f"run_training.validate_every = {steps}"]
        bindings.append(f"run_training.jit_compile = {compiled}")
    else:
        bindings += ["EPOCHS = 1", "ARCH_START_EPOCH = 0", f"{function}.steps_per_epoch = {steps}"]
    bindings.append(f"{function}.precision = '{precision}'")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", *(TRAINING if kind == "training" else SEARCH)]
        command += [f"--gin_param={binding}" for binding in bindings]
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ",".join(map(str, visible)) or "-1"}
        result = subprocess.run(
            [*command, f"--model_dir={folder}/run"], env=environment, capture_output=True, text=True
        )
        if result.returncode:
            return {"failed": (result.stderr.strip().splitlines() or ["no message"])[-1]}
        with open(os.path.join(folder, "run", "metrics.jsonl")) as file:
            line = json.loads(file.readlines()[-1])
    return {"seconds_per_step": line["seconds_per_step"], "loss": round(line["loss"], 4)}


if __name__ == "__main__":
    app.run(main)
