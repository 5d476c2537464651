"""Stages of a whole run that take no time; conversions, fingerprint, plan and report are real."""

import dataclasses
import importlib
import json
import os

import numpy as np
from PIL import Image

from adl_tf.model_directory import METRICS_FILE
from adl_tf.planning import auto, plan_stage, stages
from adl_tf.planning.timings import SearchTimings, Timings
from adl_tf.space.genotype import Genotype
from data_prep.run import run_conversion

GENOTYPE = Genotype((0, 1), [[(0, "sep_conv_3x3"), (1, "skip_connect")]])
# Of a search and a training of crops of 97 pixels, at the default cost of 360x480.
TIMINGS = Timings(
    crop_size=97,
    multi_adds=0.05,
    train_start=10.0,
    train_step=0.1,
    validation=0.1,
    evaluation_start=8.0,
    export=15.0,
    memory=2.5,
    baseline_step=0.2,
    search=SearchTimings(97, 12.0, 0.2, 0.5, 0.1, 4.0, 0.1),
)


CLASS_IOU = None  # Of the second class, as evaluations print it.


def make_folder(root, count=30, times=1):
    """Images of 40x60 pixels, or `times` as large, and masks in two folders; a classes.txt."""
    for part in ("images", "masks"):
        os.makedirs(root / part)
    for index in range(count):
        pixels = np.random.default_rng(index).integers(0, 256, (40, 60, 3), dtype=np.uint8)
        size = 60 * times, 40 * times
        Image.fromarray(pixels).resize(size).save(root / "images" / f"{index}.png")
        mask = np.repeat(np.array([[0, 1]], np.uint8), 30, axis=1)
        Image.fromarray(np.repeat(mask, 40, axis=0)).resize(size, 0).save(
            root / "masks" / f"{index}.png"
        )
    (root / "classes.txt").write_text("back\n<b>object</b>\n")
    return root


def convert_here(module, flags):
    """Converts in this process, with the flags of a folder that tests give."""
    options = {"val_fraction": float(flags.get("val_fraction", 0.2))}
    options["mask_values"] = list(filter(None, flags.get("mask_values", "").split(",")))
    conversion = importlib.import_module(module).plan(flags["input_dir"], **options)
    conversion = dataclasses.replace(conversion, short_side=int(flags.get("short_side", 0)))
    errors = int(flags.get("max_errors", 0))
    return run_conversion(conversion, flags["output_dir"], max_errors=errors)


class Clock:
    """Runs by what stages are planned to take, times a factor; a later training, whose steps have
    been timed by then, takes what is planned."""

    def __init__(self, pace=1.0):
        self.pace = pace
        self.seconds = 0.0

    def time(self):
        return self.seconds


def replace_stages(setattr, ran, failing, convert=None, clock=None):
    """Replaces what takes long.

    Args:
      setattr: as the builtin, or monkeypatch's.
      ran: list that gets the names of the stages that run.
      failing: exceptions, by the names of the stages that raise them.
      convert: function of a module and its flags in place of the program.
      clock: what stages are timed by.
    """
    real = stages.run_program
    clock = clock or Clock()

    def run_program(stage, label, seconds_after=0, seconds_in_all=0, **options):
        flags = dict(argument[2:].split("=", 1) for argument in stage.arguments)
        if stage.module.startswith("data_prep."):
            if convert:
                return convert(stage.module, flags)
            return real(stage, label, seconds_after, **options)
        ran.append(stage.name)
        if stage.name in failing:
            raise failing[stage.name]
        pace = 1.0 if stage.name.startswith("train_") else clock.pace
        clock.seconds += pace * (stage.seconds or 0)
        return _result(stage, flags)

    setattr(stages, "run_program", run_program)
    setattr(stages, "now", clock.time)
    setattr(plan_stage, "measure", lambda *_: TIMINGS)
    setattr(auto, "measure_latency", lambda *_: {"export": 0.063, "keras": 0.07})
    setattr(auto, "predict_examples", lambda *_: [])


def _steps(stage):
    """Of a training, by its flags or by its gin file."""
    texts = [text.partition("STEPS = ")[2] for text in stage.arguments if "STEPS = " in text]
    if not texts:
        (path,) = (text.partition("=")[2] for text in stage.arguments if "gin_file" in text)
        with open(path) as file:
            texts = [line[8:] for line in file if line.startswith("STEPS = ")]
    return int(texts[0])


def _result(stage, flags):
    model_dir = flags["model_dir"]
    os.makedirs(model_dir, exist_ok=True)
    if stage.module == "adl_tf.search":
        with open(os.path.join(model_dir, "genotype.json"), "w") as file:
            json.dump(GENOTYPE.to_dict(), file)
        proposals = {"searched": [1.0, 1.2], "random": [1.1, 1.3], "p_value": 0.3}
        return {"proposals": proposals, "decision": {}}
    if stage.module == "adl_tf.train":
        with open(os.path.join(model_dir, METRICS_FILE), "w") as file:
            for epoch in (1, 2):
                line = {"loss": 1, "val_loss": 1, "miou": 0.2, "val_miou": 0.3}
                file.write(json.dumps({"epoch": epoch, **line}) + "\n")
        return {"steps": _steps(stage), "best_val_miou": 0.3, "model_dir": model_dir}
    if stage.module == "adl_tf.evaluate":
        page = os.path.join(model_dir, "evaluation", "report.html")
        classes = {"back": 0.5, "<b>object</b>": CLASS_IOU}
        scores = {
            "miou": 0.5,
            "dice": 0.6,
            "pixel_accuracy": 0.7,
            "per_class": classes,
            "images": 6,
        }
        return {**scores, "page": page, "evaluation": page}
    os.makedirs(flags["output_dir"], exist_ok=True)
    return {"export_dir": flags["output_dir"], "dtype": "float32"}
