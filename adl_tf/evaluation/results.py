"""The results of an evaluation: numbers for programs, a table and a page for people."""

import contextlib
import os
from typing import Any, Dict, Optional, Sequence

import numpy as np

from adl_tf.data.description import DatasetDescription
from adl_tf.evaluation.metrics import class_ious, class_scores, mean_dice, mean_iou, pixel_accuracy
from adl_tf.evaluation.scoreboard import Scoreboard
from adl_tf.system.files import exclusive, replacing_all, write_json, write_text
from adl_tf.visualization.confusion import draw_confusion
from adl_tf.visualization.evaluation_page import draw_images, evaluation_page
from adl_tf.visualization.figure import save_figure

_JSON, _PAGE = "evaluation.json", "index.html"
_HEADLINES = {
    "miou": "mIoU",
    "dice": "mean Dice",
    "pixel_accuracy": "pixel accuracy",
    "average": "average",
}
# Of the worst and of the best images in the PNG files, which the page shows more of.
_PICTURES = 4


def summarize(counts: Optional[np.ndarray], class_names: Sequence[str]) -> Dict[str, Any]:
    """The scores of a confusion matrix, ready for JSON.

    Args:
      counts: [classes, classes] pixel counts by (true, predicted); None without labels.
      class_names: one per class.

    Returns:
      miou: mean over the classes that are true or predicted anywhere.
      dice: mean Dice score over the same classes.
      pixel_accuracy: share of the labelled pixels that are right.
      average: mean of mIoU and pixel accuracy, by which the ADE20K benchmark ranks.
      per_class: IoU by class name, None for a class that is neither true nor predicted.
      All of them are None without labels.
    """
    if counts is None:
        return dict.fromkeys(("miou", "dice", "pixel_accuracy", "average", "per_class"))
    miou, accuracy = mean_iou(counts), pixel_accuracy(counts)
    ious = [None if np.isnan(iou) else float(iou) for iou in class_ious(counts)]
    return {
        "miou": miou,
        "dice": mean_dice(counts),
        "pixel_accuracy": accuracy,
        "average": (miou + accuracy) / 2,
        "per_class": dict(zip(class_names, ious)),
    }


def format_table(counts: np.ndarray, class_names: Sequence[str]) -> str:
    """Scores of each class and their means in percent, as lines of text."""
    scores = class_scores(counts)
    width = max(map(len, ("pixel accuracy", *class_names)))

    def percent(value):
        return f"{'-':>10}" if np.isnan(value) else f"{100 * value:10.2f}"

    lines = [f"{'class':<{width}}{'IoU':>10}{'recall':>10}{'precision':>10}{'pixels':>10}"]
    for label, name in enumerate(class_names):
        cells = (percent(scores[key][label]) for key in ("iou", "recall", "precision", "share"))
        lines.append(f"{name:<{width}}{''.join(cells)}")
    summary = summarize(counts, class_names)
    lines.append("-" * len(lines[0]))
    lines += [f"{text:<{width}}{percent(summary[key])}" for key, text in _HEADLINES.items()]
    return "\n".join(lines)


def write_results(
    output_dir: str,
    result: Dict[str, Any],
    title: str,
    facts: Sequence[str],
    scoreboard: Scoreboard,
    description: DatasetDescription,
) -> Dict[str, str]:
    """Writes evaluation.json, index.html and the pictures.

    Args:
      output_dir: an existing directory.
      result: what the program returns, see `summarize`.
      title: title of the page.
      facts: how it was evaluated, a few words each.
      scoreboard: scores of the images.
      description: description of the data set.

    Returns:
      evaluation and page: the paths of the two.
    """
    counts = scoreboard.counts
    content = {
        **result,
        "class_names": description.class_names,
        "confusion_matrix": counts.tolist(),
        "image_miou": scoreboard.image_scores,
    }
    figures = {"confusion": draw_confusion(counts, description)}
    images = [*scoreboard.pictures.lowest, *reversed(scoreboard.pictures.highest)]
    best = images[_PICTURES:][::-1]  # None of the worst again.
    for name, some in (("worst", images[:_PICTURES]), ("best", best[:_PICTURES])):
        if some:
            figures[name] = draw_images(some, description)
    summary = {text: f"{100 * result[key]:.2f} %" for key, text in _HEADLINES.items()}
    page = evaluation_page(
        title,
        facts,
        {**summary, "images": f"{result['images']:,}"},
        class_scores(counts),
        counts,
        description,
        images,
        scoreboard.image_scores,
    )
    with exclusive(output_dir, waiting=lambda: None), replacing_all(output_dir) as folder:
        write_json(content, os.path.join(folder, _JSON))
        for name, figure in figures.items():
            save_figure(figure, os.path.join(folder, f"{name}.png"))
        write_text(page, os.path.join(folder, _PAGE))
    for name in {"worst", "best"} - set(figures):
        # One left by an earlier evaluation would look like this one's.
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(output_dir, f"{name}.png"))
    paths = {"evaluation": _JSON, "page": _PAGE}
    return {key: os.path.join(output_dir, name) for key, name in paths.items()}
