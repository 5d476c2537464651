"""`adl auto` with its hours; from its preset, or, as `scratch`, its architecture without weights.

Its hours hold conversion, trial, search if there is time, training, evaluation, export and report.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main():
    folder, output, start, minutes, _ = sys.argv[1:]
    made = os.path.join(output, "auto")
    hours = f"--hours={float(minutes) / 60}"
    arguments = [] if start == "preset" else [f"--genotype={save_architecture(output)}"]
    started = time.time()
    run("auto", folder, f"--output_dir={made}", hours, *arguments)
    trained = time.time()
    exported, predicted = os.path.join(made, "export"), os.path.join(output, "predicted")
    val = os.path.join(folder, "images", "val")
    scale = "--scale=training"
    first = os.path.join(val, sorted(os.listdir(val))[0])
    run("predict", f"--export_dir={exported}", f"--output_dir={predicted}_first", scale, first)
    first = time.time()
    run("predict", f"--export_dir={exported}", f"--output_dir={predicted}", scale, val)
    shutil.copytree(os.path.join(predicted, "labels"), os.path.join(output, "labels"))
    with open(os.path.join(made, "auto.json")) as file:
        plan = json.load(file)["plan"]
    result = {
        "minutes": (trained - started) / 60,
        "steps": plan["train_steps"],
        "to_first_prediction": (first - started) / 60,
        **measure(exported, val),
    }
    print(json.dumps({name: round(value, 3) for name, value in result.items()}))


def save_architecture(output):
    """Writes the genotype of the preset with its F and sizes; returns the path."""
    from adl_tf.models.presets import preset_dir
    from adl_tf.models.registry import read_network_description
    from adl_tf.space.genotype import save_genotype

    network, path = read_network_description(preset_dir("camvid")), f"{output}/genotype.json"
    size = {"filter_multiplier": network.filter_multiplier, "sizes": network.sizes.to_dict()}
    save_genotype(network.genotype, path, **size)
    return path


def run(program, *arguments):
    command = [sys.executable, "-m", "adl_tf", program, *arguments]
    subprocess.run(command, check=True, stdout=sys.stderr)


def measure(export_dir, val):
    """Time of an image, size of the export, and parameters."""
    import adl_tf  # noqa: F401  Before TensorFlow, whose Keras it chooses.

    # isort: split
    import numpy as np
    import tensorflow as tf
    from PIL import Image

    from adl_tf.serving.versions import find_export

    directory = find_export(export_dir)
    loaded = tf.saved_model.load(directory)
    signature = loaded.signatures["serving_tensor"]
    name = sorted(os.listdir(val))[-1]
    image = np.asarray(Image.open(os.path.join(val, name)).convert("RGB"))[None]
    seconds = []
    for _ in range(21):
        begin = time.perf_counter()
        signature(images=tf.constant(image))["labels"].numpy()
        seconds.append(time.perf_counter() - begin)
    files = [os.path.join(at, name) for at, _, names in os.walk(directory) for name in names]
    return {
        "latency_ms": 1000 * statistics.median(seconds[1:]),
        "megabytes": sum(map(os.path.getsize, files)) / 1e6,
    }


if __name__ == "__main__":
    main()
