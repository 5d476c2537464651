"""A study as one self-contained HTML page."""

import html
import shlex
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np
from matplotlib.figure import Figure

from adl_tf.space.genotype import describe_genotype, load_genotype
from adl_tf.visualization.architecture import draw_architecture
from adl_tf.visualization.figure import TEXT
from adl_tf.visualization.page import heading, inline_figure, page, percent, table

MAX_PICTURES = 12
_DOT = "#1f5fbf"


def study_page(
    title: str, lines: Sequence[Dict[str, Any]], command: str, seed_deviation: float
) -> str:
    """Writes the page.

    Args:
      title: title of the study.
      lines: lines of its `members.jsonl`.
      command: that runs the study.
      seed_deviation: standard deviation of the mIoU between seeds of a member; may be nan.

    Returns:
      a whole HTML document: a table with the spread over the seeds, the scores next to the costs,
      the best genotypes drawn, and the commands.
    """
    members = _by_member(lines)
    scores = {name: [line["val_miou"] for line in runs] for name, runs in members}
    best, worst = members[0][0], members[-1][0]
    summary = {
        "members": str(len(members)),
        "trainings": str(len(lines)),
        f"best ({best})": percent(np.mean(scores[best])),
        f"worst ({worst})": percent(np.mean(scores[worst])),
        "between seeds, ±": percent(seed_deviation, 2),
        "hours": f"{sum(line['seconds'] for line in lines) / 3600:.1f}",
    }
    return page(
        title,
        [
            heading(title, ["mIoU after the last step"], summary),
            "<h2>Members</h2>",
            _member_table(members),
            "<h2>Scores</h2>",
            inline_figure(draw_scores(lines), "scores over costs"),
            "<h2>Genotypes</h2>",
            *_pictures(members),
            "<h2>Commands</h2>",
            f"<p>The study:</p><pre>{html.escape(command)}</pre>",
            *(_commands(name, runs) for name, runs in members),
        ],
    )


def _by_member(lines) -> List[Tuple[str, List[Dict[str, Any]]]]:
    """Names and trainings, the best mean first."""
    runs: Dict[str, List[Dict[str, Any]]] = {}
    for line in lines:
        runs.setdefault(line["member"], []).append(line)
    return sorted(runs.items(), key=lambda item: -np.mean([line["val_miou"] for line in item[1]]))


def _member_table(members) -> str:
    header = [("left", "member"), ("", "mIoU"), ("", "±"), ("", "seeds"), ("", "parameters")]
    header += [("", "Multi-Adds"), ("", "seconds"), ("left", "genotype")]

    def row(item):
        name, runs = item
        values = [run["val_miou"] for run in runs]
        cost = runs[0]["cost"]
        genotype = runs[0].get("genotype")
        return [
            html.escape(name),
            percent(np.mean(values), 2),
            percent(np.std(values, ddof=1), 2) if len(values) > 1 else "–",
            str(len(values)),
            f"{cost['parameters'] / 1e6:.2f}M",
            f"{cost['multi_adds'] / 1e9:.3f}B",
            f"{np.mean([run['seconds'] for run in runs]):.0f}",
            html.escape("; ".join(describe_genotype(load_genotype(genotype)))) if genotype else "",
        ]

    return table(header, map(row, members))


def draw_scores(lines: Sequence[Dict[str, Any]]) -> Figure:
    """Scores of all trainings over Multi-Adds and over parameters, and their curves."""
    figure = Figure(figsize=(11, 3.4), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    scores = [100 * line["val_miou"] for line in lines]
    for axis, (key, text, unit) in zip(
        axes,
        (("multi_adds", "Multi-Adds, billions", 1e9), ("parameters", "parameters, millions", 1e6)),
    ):
        axis.scatter([line["cost"][key] / unit for line in lines], scores, s=14, color=_DOT)
        axis.set_xlabel(text, color=TEXT)
    for line in lines:
        curve = [100 * metrics["val_miou"] for metrics in line["metrics"]]
        axes[2].plot(range(1, len(curve) + 1), curve, color=_DOT, alpha=0.25, linewidth=0.8)
    axes[2].set_xlabel("validation", color=TEXT)
    axes[0].set_ylabel("mIoU, %", color=TEXT)
    for axis in axes:
        axis.tick_params(colors=TEXT)
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def _pictures(members) -> List[str]:
    drawn = [(name, runs) for name, runs in members if "genotype" in runs[0]][:MAX_PICTURES]
    return [
        f"<figure><figcaption>{html.escape(name)} <span class='soft'>mIoU "
        f"{percent(np.mean([run['val_miou'] for run in runs]))}</span></figcaption>"
        + inline_figure(draw_architecture(load_genotype(runs[0]["genotype"])), name)
        + "</figure>"
        for name, runs in drawn
    ]


def _commands(name: str, runs) -> str:
    commands = [run["search"]["command"] for run in runs[:1] if "search" in run]
    commands += [run["command"] for run in runs]
    text = "\n".join(shlex.join(command) for command in commands)
    return (
        f"<details><summary>{html.escape(name)}</summary><pre>{html.escape(text)}</pre></details>"
    )
