"""Ultralytics' semantic segmentation, by its command line, from a configuration without weights."""

import json
import os
import statistics
import subprocess
import sys
import time


def main():
    folder, output, model, minutes, seed = sys.argv[1:]
    yolo = os.path.join(os.path.dirname(sys.executable), "yolo")
    with open(os.path.join(folder, "classes.txt")) as file:
        names = file.read().splitlines()
    data = os.path.join(output, "data.yaml")
    with open(data, "w") as file:
        file.write(f"path: {folder}\ntrain: images/train\nval: images/val\nmasks_dir: masks\n")
        file.write("names:\n" + "".join(f"  {i}: {name}\n" for i, name in enumerate(names)))
    started = time.time()
    settings = [f"data={data}", f"model={model}.yaml", f"time={float(minutes) / 60}"]
    settings += [f"seed={seed}", "device=cpu", "pretrained=False", "amp=False"]
    settings += [f"project={output}", "name=train"]
    subprocess.run([yolo, "semantic", "train", *settings], check=True, stdout=sys.stderr)
    trained = time.time()
    weights = os.path.join(output, "train", "weights", "best.pt")
    subprocess.run(
        [yolo, "export", f"model={weights}", "format=onnx"], check=True, stdout=sys.stderr
    )
    label(folder, output, weights, started, trained)


def label(folder, output, weights, started, trained):
    """Label maps by the documented API, and the time of an image by the export."""
    from PIL import Image
    from ultralytics import YOLO

    model, first = YOLO(weights), None
    val, labels = os.path.join(folder, "images", "val"), os.path.join(output, "labels")
    os.makedirs(labels)
    for name in sorted(os.listdir(val)):
        (result,) = model.predict(os.path.join(val, name), verbose=False, device="cpu")
        classes = result.semantic_mask.data.cpu().numpy().squeeze().astype("uint8")
        Image.fromarray(classes).save(os.path.join(labels, name))
        first = first or time.time()
    path = os.path.join(val, name)
    exported = weights.replace(".pt", ".onnx")
    serving, seconds = YOLO(exported, task="semantic"), []
    for _ in range(21):
        begin = time.perf_counter()
        serving.predict(path, verbose=False, device="cpu")
        seconds.append(time.perf_counter() - begin)
    result = {
        "minutes": (trained - started) / 60,
        "to_first_prediction": (first - started) / 60,
        "latency_ms": 1000 * statistics.median(seconds[1:]),
        "megabytes": os.path.getsize(exported) / 1e6,
        "parameters": sum(p.numel() for p in model.model.parameters()) / 1e6,
    }
    print(json.dumps({name: round(value, 3) for name, value in result.items()}))


if __name__ == "__main__":
    main()
