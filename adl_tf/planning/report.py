"""Results of a whole run: a page, and a model card beside the export."""

import html
import os
from typing import Any, Dict, List, Sequence

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from adl_tf.data.description import DatasetDescription
from adl_tf.data.reader import RecordReader
from adl_tf.model_directory import GENOTYPE_FILE, METRICS_FILE, REPORT_FILE, read_json_lines
from adl_tf.planning.fingerprint import TRAIN, VAL, Fingerprint
from adl_tf.planning.pictures import draw_examples, draw_shares
from adl_tf.planning.plan import BASELINE, EVALUATION, EXPORT, OTHER, SEARCH, TRAINING
from adl_tf.planning.plan_stage import Wishes
from adl_tf.planning.settings import PRESET
from adl_tf.planning.stages import State, minutes
from adl_tf.planning.trials import TRIAL
from adl_tf.programs import command_line
from adl_tf.searches.comparison import Comparison
from adl_tf.searches.proposals import RANDOM, SEARCHED
from adl_tf.serving.photos import TRAINING as TRAINING_SCALE
from adl_tf.space.genotype import describe_genotype, load_genotype
from adl_tf.system.files import remove_temporaries, write_text
from adl_tf.visualization.architecture import draw_architecture
from adl_tf.visualization.evaluation_page import class_name, picture_titles
from adl_tf.visualization.page import (
    bar,
    heading,
    inline_figure,
    inline_photo,
    page,
    percent,
    table,
)
from adl_tf.visualization.proposals import draw_proposals
from data_prep.recognize import as_arguments

CARD_FILE = "README.md"
_MISSED = 0.02  # IoU of a class that is not found.


def write_card(
    state: State,
    fingerprint: Fingerprint,
    evaluation: Dict[str, Any],
    export: Dict[str, Any],
) -> str:
    """Writes the model card beside an export; returns its path.

    Args:
      state: state of the run.
      fingerprint: fingerprint of its data.
      evaluation: what the evaluation printed.
      export: what the export printed.
    """
    settings = state.get("plan")["settings"]
    classes = "\n".join(
        f"| {name} | {percent(iou)} | {percent(share)} |"
        for name, iou, share in zip(
            fingerprint.class_names, _ious(evaluation), fingerprint.class_shares["train"]
        )
    )
    height, width = settings["image_size"]
    found = "found and trained" if SEARCH in state.stages else "trained"
    text = f"""---
license: other
license_name: FILL IN the license of the images and of these weights
library_name: tensorflow
pipeline_tag: image-segmentation
---

# {fingerprint.name}

Semantic segmentation into {len(fingerprint.class_names)} classes, {found} by adl_tf.

- data: {fingerprint.name}, {fingerprint.examples["train"]} images to train on, of about
  {height}x{width} pixels
- scored on {evaluation["images"]} images that it was not trained on, though the best of its
  checkpoints was chosen by them: mIoU {percent(evaluation["miou"])}, pixel accuracy
  {percent(evaluation["pixel_accuracy"])}. {missed_classes(fingerprint, evaluation)}
- input: JPEG or PNG files; output: class ids of every pixel (`{export["dtype"]}` inside)
- intended for: images like those above; nothing else was tried

| class | IoU | share of the training pixels |
|---|---|---|
{classes}

```bash
{command_line(predict_command(state, export))}
```
"""
    path = os.path.join(export["export_dir"], CARD_FILE)
    remove_temporaries(os.path.dirname(path), os.path.basename(path))
    write_text(text, path)
    return path


def write_report(state: State, fingerprint: Fingerprint, dataset_dir: str, output_dir: str) -> str:
    """Writes the page of a run; returns its path.

    Args:
      state: state of the run.
      fingerprint: fingerprint of its data.
      dataset_dir: directory of the records.
      output_dir: directory of the run.
    """
    stages, plan = state.stages, state.get("plan")
    evaluation, export = (_last(state, kind) for kind in (EVALUATION, EXPORT))
    description = RecordReader(dataset_dir, TRAIN).description
    seconds, missed = sum(state.spent.values()), missed_classes(fingerprint, evaluation)
    parts = [
        heading(
            fingerprint.name,
            [
                f"{len(fingerprint.class_names)} classes",
                f"{fingerprint.examples[TRAIN]} images to train on",
                minutes(seconds),
            ],
            {
                "mIoU": percent(evaluation["miou"]),
                "mean Dice": percent(evaluation["dice"]),
                "pixel accuracy": percent(evaluation["pixel_accuracy"]),
                "latency": f"{state.get('latency')['export'] * 1e3:.0f} ms",
            },
        ),
        *(f"<p><b>{html.escape(text)}</b></p>" for text in [missed] if text),
        *_predictions(state.get("predictions")),
        "<h2>Classes</h2>",
        _class_table(fingerprint, evaluation, description),
        _evaluated(fingerprint, evaluation),
        _link(evaluation.get("page"), output_dir, "Confusions, errors, and the worst images"),
        "<h2>Use it</h2>",
        *_commands(state, export, output_dir),
        "<h2>Compared</h2>",
        *_compared(state, output_dir),
        "<h2>Search</h2>",
        *_search(state, output_dir),
        "<h2>Training</h2>",
        *_curves(state, output_dir),
        "<h2>Plan</h2>",
        f"<p>{html.escape(plan['start_reason'].capitalize())}.</p>",
        _settings_table(plan["settings"]),
        "<h2>Time: planned and real</h2>",
        _stage_table(state),
        "<h2>Data</h2>",
        *(f"<p>{html.escape(line)}</p>" for line in fingerprint.warnings),
        inline_figure(draw_shares(fingerprint), "Share of the pixels of each class"),
        inline_figure(draw_examples(dataset_dir), "Masks over training images"),
        "<h2>With more time</h2>",
        *(f"<p>{html.escape(line)}</p>" for line in _advice(state, fingerprint)),
        "<h2>Commands that made it</h2>",
        "<pre>" + html.escape("\n\n".join(s["command"] for s in stages.values())) + "</pre>",
    ]
    path = os.path.join(output_dir, REPORT_FILE)
    write_text(page(fingerprint.name, parts), path)
    return path


def _last(state: State, kind: str) -> Dict[str, Any]:
    """The JSON line of the last stage of a kind."""
    return [state.stages[name] for name in state.stages if name.startswith(kind)][-1]["result"]


def _predictions(shown: Sequence[Dict[str, Any]]) -> List[str]:
    """Validation images beside what the export makes of them."""
    if not shown:
        return []
    figures = []
    for entry in shown:
        with Image.open(entry["file"]) as panel:
            photo = inline_photo(np.asarray(panel), entry["name"])
        caption = f"{html.escape(entry['name'])} <span class='soft'>mIoU {percent(entry['miou'])}"
        figures.append(f"<figure><figcaption>{caption}</span></figcaption>{photo}</figure>")
    return [picture_titles(), *figures]


def _ious(evaluation: Dict[str, Any]) -> List[float]:
    """IoU of each class; nan for one that is neither true nor predicted."""
    return [float("nan") if iou is None else iou for iou in evaluation["per_class"].values()]


def _class_table(
    fingerprint: Fingerprint, evaluation: Dict[str, Any], description: DatasetDescription
) -> str:
    splits = list(fingerprint.examples)
    header = [("left", "class"), ("bar", ""), ("", "IoU"), ("", "Dice")]
    header += [("", f"pixels of {split}") for split in splits]
    rows = [
        [
            class_name(label, description),
            bar(iou, description.colors[label]),
            percent(iou),
            percent(2 * iou / (1 + iou)),
            *(percent(fingerprint.class_shares[split][label], 2) for split in splits),
        ]
        for label, iou in enumerate(_ious(evaluation))
    ]
    return table(header, rows)


def _evaluated(fingerprint: Fingerprint, evaluation: Dict[str, Any]) -> str:
    scored, images = evaluation["images"], fingerprint.examples[VAL]
    some = f"the first {scored} of {images}" if scored < images else f"{scored}"
    return (
        f'<p class="soft">Scored on {some} images that it was not trained on, though the best of '
        "its checkpoints was chosen by them.</p>"
    )


def predict_command(state: State, export: Dict[str, Any]) -> List[str]:
    """The command that labels images as large as those that were converted."""
    scale = {"scale": TRAINING_SCALE} if state.get("shrunk") else {}
    given = {"export_dir": export["export_dir"], "output_dir": "labelled", **scale}
    return ["adl_tf.predict", *as_arguments(given), "IMAGE-or-FOLDER"]


def missed_classes(fingerprint: Fingerprint, evaluation: Dict[str, Any]) -> str:
    """A warning that names the classes that the network does not find; "" if there are none."""
    missed = [
        name for name, iou in zip(fingerprint.class_names, _ious(evaluation)) if iou < _MISSED
    ]
    if not missed:
        return ""
    return (
        f"The network hardly finds {', '.join(missed)} (IoU below {_MISSED:.0%}): do not use it "
        "for that. More --hours, or more images that show it, help."
    )


def _commands(state: State, export: Dict[str, Any], output_dir: str) -> List[str]:
    """Commands that use the network; the three work as they are."""
    network = state.get("latency")["of"]
    defaults = Wishes._field_defaults
    wishes = {name: w for name, w in state.get("wishes").items() if w != defaults[name]}
    further = {"output_dir": output_dir, "hours": f"{2 * state.get('hours'):g}", **wishes}
    latency, (height, width) = state.get("latency"), state.get("plan")["settings"]["image_size"]
    other = {
        "output_dir": os.path.join(output_dir, "formats"),
        "formats": "tflite",
        "image_size": f"{height},{width}",
    }
    commands = {
        "Label images": predict_command(state, export),
        "A file for phones and boards, of one image size": [
            "adl_tf.export",
            *as_arguments({"model_dir": network, **other}),
        ],
        "Train it further": [
            "adl_tf.auto",
            state.get("input"),
            *as_arguments({**further, **state.get("conversion", {})}),
        ],
    }
    lines = [
        f"<p>{text}:</p><pre>{html.escape(command_line(command))}</pre>"
        for text, command in commands.items()
    ]
    lines.append(
        f"<p>An image of {height}x{width} takes {latency['export'] * 1e3:.0f} ms by the export and "
        f"{latency['keras'] * 1e3:.0f} ms by the Keras model, on the machine that ran this.</p>"
    )
    return lines


def _compared(state: State, output_dir: str) -> List[str]:
    """The network beside trainings for a tenth of its time."""
    stages, preset = state.stages, state.get("preset")
    other = (
        "the same network from scratch"
        if state.get("plan")["start"] == PRESET
        else f"from the weights of {preset!r}, without a search"
    )
    names = {
        OTHER: f"{other}, a tenth of the time",
        BASELINE: "baseline, a tenth of the time: keras-cv's DeepLabV3Plus on a small MobileNetV3",
    }
    if not any(name in stages for name in names):
        return ["<p>The hours were too few for trainings to compare with.</p>"]
    trained = [name for name in stages if name.startswith(TRAINING)]
    own = max(stages[name]["result"]["best_val_miou"] for name in trained)
    steps = sum(stages[name]["result"]["steps"] for name in trained)
    seconds = sum(stages[name]["seconds"] for name in trained)
    rows = [["<b>this network</b>", percent(own), str(steps), minutes(seconds)]]
    lines = read_json_lines(os.path.join(output_dir, TRAINING, METRICS_FILE), key="epoch", of=int)
    if lines:
        first = lines[min(lines)].get("val_miou", float("nan"))
        every = stages[TRAINING]["result"]["steps"] // len(lines)
        rows.append(["this network, its first validation", percent(first), str(every), "–"])
    for name, text in names.items():
        if name in stages:
            result = stages[name]["result"]
            miou, taken = percent(result["best_val_miou"]), minutes(stages[name]["seconds"])
            rows.append([html.escape(text), miou, str(result["steps"]), taken])
    header = [("left", "training"), ("", "best mIoU in validation"), ("", "steps"), ("", "time")]
    return [table(header, rows)]


def _settings_table(settings: Dict[str, Any]) -> str:
    rows = [
        [html.escape(name), html.escape(_short(settings[name])), html.escape(reason)]
        for name, reason in settings["reasons"].items()
    ]
    return table([("left", "setting"), ("left", "value"), ("left", "reason")], rows)


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {item}" for name, item in value.items())
    return str(value)


def _stage_table(state: State) -> str:
    planned = {**state.get("plan")["seconds"], TRIAL: state.get("trial_planned")}
    rows = [
        [
            html.escape(name),
            minutes(planned[name]) if planned.get(name) else "–",
            minutes(seconds),
        ]
        for name, seconds in state.spent.items()
    ]
    total = [f"{3600 * state.get('hours') / 60:.1f} minutes", minutes(sum(state.spent.values()))]
    rows.append(["<b>all</b>", *total])
    return table([("left", "stage"), ("", "planned"), ("", "taken")], rows)


def _search(state: State, output_dir: str) -> List[str]:
    """The network that the search found, and whether the search was worth it."""
    if SEARCH not in state.stages:
        return [f"<p>None: {html.escape(state.get('plan')['start_reason'])}.</p>"]
    proposals = state.stages[SEARCH]["result"]["proposals"]
    arms = [
        tuple(float("inf") if loss is None else loss for loss in proposals[arm])
        for arm in (SEARCHED, RANDOM)
    ]
    sentence = Comparison(*arms, proposals["p_value"]).sentence()
    genotype = load_genotype(os.path.join(output_dir, SEARCH, GENOTYPE_FILE))
    return [
        f"<p>{html.escape(sentence[0].upper() + sentence[1:])}.</p>",
        inline_figure(draw_proposals(*arms), "Losses of both arms"),
        inline_figure(draw_architecture(genotype), "The architecture"),
        f"<pre>{html.escape(chr(10).join(describe_genotype(genotype)))}</pre>",
    ]


def _curves(state: State, output_dir: str) -> List[str]:
    figure = Figure(figsize=(8, 2.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    steps = 0
    for name in [name for name in state.stages if name.startswith(TRAINING)]:
        path = os.path.join(output_dir, name, METRICS_FILE)
        lines = read_json_lines(path, key="epoch", of=int)
        epochs = sorted(lines)
        every = state.stages[name]["result"]["steps"] / max(1, len(epochs))
        x = [steps + every * epoch for epoch in epochs]
        for axes, key in ((left, "loss"), (left, "val_loss"), (right, "miou"), (right, "val_miou")):
            style = "-" if key.startswith("val") else ":"
            axes.plot(x, [lines[e].get(key, np.nan) for e in epochs], style, label=f"{name}: {key}")
        steps = x[-1] if x else steps
    left.set_title("loss, with the weights of the classes", fontsize=9)
    right.set_title("mIoU", fontsize=9)
    for axes in (left, right):
        axes.set_xlabel("step")
        axes.legend(fontsize=7)
    return [inline_figure(figure, "Loss and mIoU over the steps")]


def _link(path, output_dir: str, text: str) -> str:
    if not path:
        return ""
    relative = os.path.relpath(path, output_dir)
    return f'<p><a href="{html.escape(relative)}">{html.escape(text)}</a></p>'


def _advice(state: State, fingerprint: Fingerprint) -> Sequence[str]:
    lines = [
        f"The same command with --hours={2 * state.get('hours'):g} continues the training for the "
        "added hours.",
        "Another size of network: --multi_adds, with another --output_dir.",
    ]
    if fingerprint.examples["train"] < 200:
        lines.append("More labelled images help most: there are few.")
    return lines
