"""What a whole run has to show: a page, and a model card beside the export."""

import html
import os
from typing import Any, Dict, List, Sequence

import numpy as np
from matplotlib.figure import Figure

from adl_tf.files import remove_temporaries, write_text
from adl_tf.model_directory import METRICS_FILE, REPORT_FILE, read_json_lines
from adl_tf.planning.fingerprint import Fingerprint
from adl_tf.planning.pictures import draw_examples, draw_shares
from adl_tf.planning.plan import EVALUATION, SEARCH, TRAINING
from adl_tf.planning.stages import State
from adl_tf.space.genotype import describe_genotype, load_genotype
from adl_tf.visualization.architecture import draw_architecture
from adl_tf.visualization.page import heading, inline_figure, page, percent, table

CARD_FILE = "README.md"


def write_card(
    state: State,
    fingerprint: Fingerprint,
    evaluation: Dict[str, Any],
    export: Dict[str, Any],
) -> str:
    """Writes the model card beside an export; returns its path.

    Args:
      state: of the run.
      fingerprint: of its data.
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
    text = f"""---
license: other
license_name: FILL IN the license of the images and of these weights
library_name: tensorflow
pipeline_tag: image-segmentation
---

# {fingerprint.name}

Semantic segmentation into {len(fingerprint.class_names)} classes, found and trained by adl_tf.

- data: {fingerprint.name}, {fingerprint.examples["train"]} images to train on, of about
  {height}x{width} pixels
- scored on {evaluation["images"]} images that it was not trained on, though the best of its
  checkpoints was chosen by them: mIoU {percent(evaluation["miou"])}, pixel accuracy
  {percent(evaluation["pixel_accuracy"])}
- input: JPEG or PNG files; output: class ids of every pixel (`{export["dtype"]}` inside)
- intended for: images like those above; nothing else was tried

| class | IoU | share of the training pixels |
|---|---|---|
{classes}

```bash
python -m adl_tf.predict --export_dir={export["export_dir"]} --output_dir=OUT IMAGE-or-FOLDER
```
"""
    path = os.path.join(export["export_dir"], CARD_FILE)
    remove_temporaries(os.path.dirname(path), os.path.basename(path))
    write_text(text, path)
    return path


def write_report(state: State, fingerprint: Fingerprint, dataset_dir: str, output_dir: str) -> str:
    """Writes the page of a run; returns its path.

    Args:
      state: of the run.
      fingerprint: of its data.
      dataset_dir: of the records.
      output_dir: of the run.
    """
    stages = state.stages
    (evaluated,) = [name for name in list(stages) if name.startswith(EVALUATION)][-1:]
    evaluation = stages[evaluated]["result"]
    seconds = sum(stage["seconds"] for stage in stages.values())
    plan = state.get("plan")
    genotype = load_genotype(_genotype(state, output_dir))
    parts = [
        heading(
            fingerprint.name,
            [f"{len(fingerprint.class_names)} classes", f"{seconds / 3600:.1f} hours"],
            {
                "mIoU": percent(evaluation["miou"]),
                "pixel accuracy": percent(evaluation["pixel_accuracy"]),
                "scored images": str(evaluation["images"]),
                "latency": f"{state.get('latency')['export'] * 1e3:.0f} ms",
            },
        ),
        "<h2>Data</h2>",
        _data_table(fingerprint, evaluation),
        *(f"<p>{html.escape(line)}</p>" for line in fingerprint.warnings),
        inline_figure(draw_shares(fingerprint), "Share of the pixels of each class"),
        inline_figure(draw_examples(dataset_dir), "Masks over training images"),
        "<h2>Plan</h2>",
        _settings_table(plan["settings"]),
        "<h2>Stages: planned and real</h2>",
        _stage_table(plan["seconds"], stages),
        "<h2>Search</h2>",
        *_decision(stages.get(SEARCH)),
        inline_figure(draw_architecture(genotype), "The architecture"),
        f"<pre>{html.escape(chr(10).join(describe_genotype(genotype)))}</pre>",
        "<h2>Training</h2>",
        *_curves(state, output_dir),
        "<h2>Evaluation</h2>",
        _link(evaluation.get("page"), output_dir, "Classes, confusions, best and worst images"),
        "<h2>Latency</h2>",
        f"<p>{html.escape(_latency(state))}</p>",
        "<h2>With more time</h2>",
        *(f"<p>{html.escape(line)}</p>" for line in _advice(state, fingerprint)),
        "<h2>Commands</h2>",
        "<pre>" + html.escape("\n\n".join(s["command"] for s in stages.values())) + "</pre>",
    ]
    path = os.path.join(output_dir, REPORT_FILE)
    write_text(page(fingerprint.name, parts), path)
    return path


def _genotype(state: State, output_dir: str) -> str:
    return state.get("genotype") or os.path.join(output_dir, SEARCH, "genotype.json")


def _ious(evaluation: Dict[str, Any]) -> List[float]:
    """IoU of each class; nan for one that is neither true nor predicted."""
    return [float("nan") if iou is None else iou for iou in evaluation["per_class"].values()]


def _data_table(fingerprint: Fingerprint, evaluation: Dict[str, Any]) -> str:
    splits = list(fingerprint.examples)
    header = [("left", "class"), *(("", f"pixels of {split}") for split in splits), ("", "IoU")]
    rows = [
        [
            html.escape(name),
            *(percent(fingerprint.class_shares[split][index], 2) for split in splits),
            percent(iou),
        ]
        for index, (name, iou) in enumerate(zip(fingerprint.class_names, _ious(evaluation)))
    ]
    counts = ["<b>images</b>", *(str(fingerprint.examples[split]) for split in splits), ""]
    ignored = ["ignored", *(percent(fingerprint.ignored_shares[split], 2) for split in splits), ""]
    return table(header, [counts, *rows, ignored])


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


def _stage_table(planned: Dict[str, float], stages: Dict[str, Dict[str, Any]]) -> str:
    rows = [
        [
            html.escape(name),
            f"{planned[name] / 60:.1f}" if name in planned else "–",
            f"{stage['seconds'] / 60:.1f}",
        ]
        for name, stage in stages.items()
    ]
    return table([("left", "stage"), ("", "planned, minutes"), ("", "taken, minutes")], rows)


def _decision(search) -> List[str]:
    if search is None:
        return ["<p>No search: the genotype is that of a network that comes with the package.</p>"]
    numbers = search["result"]["decision"]
    return [
        f"<p>How sure the search is: of {numbers['candidates']} random networks, of which "
        f"{numbers['finished']} were trained to the end, the chosen one had an mIoU of "
        f"{numbers['first_rung_best']:.3f} on training crops after the first quarter, all "
        f"{numbers['first_rung_median']:.3f} ± {numbers['first_rung_deviation']:.3f}; "
        f"{numbers['weightless_ops']:.0%} of its ops have no weights. The best of many is above "
        "the others by chance, too: compare with random networks by <code>adl_tf.study</code>.</p>"
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
    for axes in (left, right):
        axes.set_xlabel("step")
        axes.legend(fontsize=7)
    return [inline_figure(figure, "Loss and mIoU over the steps")]


def _link(path, output_dir: str, text: str) -> str:
    if not path:
        return ""
    relative = os.path.relpath(path, output_dir)
    return f'<p><a href="{html.escape(relative)}">{html.escape(text)}</a></p>'


def _latency(state: State) -> str:
    latency, (height, width) = state.get("latency"), state.get("plan")["settings"]["image_size"]
    return (
        f"An image of {height}x{width} takes {latency['export'] * 1e3:.0f} ms by the export and "
        f"{latency['keras'] * 1e3:.0f} ms by the Keras model, on the machine that ran this."
    )


def _advice(state: State, fingerprint: Fingerprint) -> Sequence[str]:
    lines = [
        f"The same command with --hours={2 * state.get('hours'):g} trains on for the hours that "
        "are added.",
        "Another size of network: --multi_adds, with another --output_dir.",
    ]
    if fingerprint.examples["train"] < 200:
        lines.append("More labelled images help most: there are few.")
    return lines
