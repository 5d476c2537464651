"""An evaluation as one self-contained HTML page."""

import dataclasses
import html
from typing import Dict, List, Optional, Sequence, Tuple

import numpy as np
from matplotlib.figure import Figure

from adl_tf.data.description import DatasetDescription
from adl_tf.visualization.confusion import draw_confusion
from adl_tf.visualization.page import (
    bar,
    heading,
    inline_figure,
    inline_photo,
    page,
    percent,
    swatch,
    table,
)
from adl_tf.visualization.predictions import (
    IGNORE_COLOR,
    PANEL_TITLES,
    classes_present,
    prediction_gallery,
    prediction_panel,
)

MAX_CONFUSIONS = 10


@dataclasses.dataclass(frozen=True)
class ScoredImage:
    """A predicted image and its score.

    Attributes:
      name: name of the image.
      miou: its own mean intersection over union.
      image: uint8 [H, W, 3].
      label: integers [H, W].
      prediction: integers [H, W].
    """

    name: str
    miou: float
    image: np.ndarray
    label: np.ndarray
    prediction: np.ndarray

    @property
    def caption(self) -> str:
        """Name and score, for people."""
        return f"{self.name}   mIoU {percent(self.miou)}"


def draw_images(images: Sequence[ScoredImage], description: DatasetDescription) -> Figure:
    """The images as rows of a gallery, see `prediction_gallery`."""
    columns = zip(*((image.image, image.label, image.prediction) for image in images))
    return prediction_gallery(*columns, description, [image.caption for image in images])


def largest_confusions(counts: np.ndarray, count: int) -> List[Tuple[int, int]]:
    """The (true, predicted) pairs of different classes with the most pixels, largest first.

    Args:
      counts: [classes, classes] pixel counts by (true, predicted).
      count: how many at most.
    """
    wrong = np.array(counts)
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:count]
    pairs = zip(*np.unravel_index(order, wrong.shape))
    return [(int(true), int(predicted)) for true, predicted in pairs if wrong[true, predicted]]


def evaluation_page(
    title: str,
    facts: Sequence[str],
    summary: Dict[str, str],
    scores: Dict[str, np.ndarray],
    counts: np.ndarray,
    description: DatasetDescription,
    images: Sequence[ScoredImage],
    image_scores: Sequence[Tuple[str, Optional[float]]],
) -> str:
    """Writes the page.

    Args:
      title: what was evaluated.
      facts: how it was evaluated, a few words each.
      summary: names and values to show first.
      scores: see `metrics.class_scores`.
      counts: [classes, classes] pixel counts by (true, predicted).
      description: description of the data set.
      images: those to show, the worst first.
      image_scores: (name, mIoU) of all images, None where nothing is labelled.

    Returns:
      a whole HTML document, images inside.
    """
    parts = [
        heading(title, facts, summary),
        "<h2>Classes</h2>",
        class_table(scores, description),
        "<h2>Confusion</h2>",
        '<p class="soft">Rows are true classes, columns predicted ones: percent of the true '
        "class's pixels.</p>",
        '<div class="confusion">',
        f"<div>{inline_figure(draw_confusion(counts, description), 'confusion matrix')}</div>",
        f"<div>{_confusion_table(counts, description)}</div>",
        "</div>",
        *_images(images, image_scores, description),
    ]
    return page(title, parts)


def class_name(label: int, description: DatasetDescription) -> str:
    """A class beside its color."""
    return swatch(description.colors[label]) + html.escape(description.class_names[label])


def class_table(scores: Dict[str, np.ndarray], description: DatasetDescription) -> str:
    """The scores of each class, see `metrics.class_scores`, with bars in their colors."""
    columns = ("iou", "dice", "recall", "precision")
    header = [("left", "class"), ("bar", ""), ("", "IoU"), ("", "Dice"), ("", "recall")]
    header += [("", "precision"), ("", "share of pixels")]

    def row(label):
        return [
            class_name(label, description),
            bar(scores["iou"][label], description.colors[label]),
            *(percent(scores[name][label]) for name in columns),
            percent(scores["share"][label], 2),
        ]

    return table(header, map(row, range(description.num_classes)))


def _confusion_table(counts, description) -> str:
    counts = np.asarray(counts)
    pairs = largest_confusions(counts, MAX_CONFUSIONS)
    if not pairs:
        return "<p>No wrong pixels.</p>"
    errors = counts.sum() - np.trace(counts)
    header = [("left", "true"), ("left", "predicted"), ("", "of the class"), ("", "of all errors")]
    rows = (
        [
            class_name(true, description),
            class_name(predicted, description),
            percent(counts[true, predicted] / counts[true].sum()),
            percent(counts[true, predicted] / errors),
        ]
        for true, predicted in pairs
    )
    return table(header, rows)


def _images(images, image_scores, description) -> List[str]:
    """The pictures, and the scores of all images, both in an order that buttons change."""
    if not images:
        return []
    buttons = "".join(
        f'<button data-sort="{key}">{text}</button> '
        for key, text in (("worst", "worst first"), ("best", "best first"), ("name", "by name"))
    )
    shown = "all" if len(images) == len(image_scores) else "the worst and the best"
    lines = [
        "<h2>Images</h2>",
        f'<p class="soft">{len(images)} of {len(image_scores)}: {shown}. Click on one to zoom; '
        "red is wrong.</p>",
        f"<p>{buttons}</p>",
        _legend(images, description),
        picture_titles(),
        "<div data-sorted>",
        *(picture(image, description) for image in images),
        "</div>",
    ]
    if len(images) < len(image_scores):
        rows = "".join(
            f'<tr data-name="{html.escape(name)}" data-score="{-1 if score is None else score}">'
            f'<td class="left">{html.escape(name)}</td>'
            f"<td>{percent(np.nan if score is None else score)}</td></tr>\n"
            for name, score in image_scores
        )
        lines.append(
            f"<details><summary>The mIoU of all {len(image_scores)} images</summary>"
            f"<table><tbody data-sorted>\n{rows}</tbody></table></details>"
        )
    return lines


def picture_titles() -> str:
    """Captions of the parts of each `picture`."""
    return f'<div class="titles">{"".join(f"<span>{t}</span>" for t in PANEL_TITLES)}</div>'


def picture(image: ScoredImage, description: DatasetDescription) -> str:
    """An image with its prediction and its errors, as a figure of a page."""
    panel = prediction_panel(image.image, image.label, image.prediction, description)
    name = html.escape(image.name)
    return (
        f'<figure data-name="{name}" data-score="{image.miou:.6f}"><figcaption>{name} '
        f'<span class="soft">mIoU {percent(image.miou)}</span></figcaption>'
        f"{inline_photo(panel, image.name)}</figure>"
    )


def _legend(images, description) -> str:
    maps = [part for image in images for part in (image.label, image.prediction)]
    entries = [class_name(label, description) for label in classes_present(maps, description)]
    entries.append(swatch(IGNORE_COLOR) + "ignored")
    return f'<div class="legend">{"".join(f"<span>{entry}</span>" for entry in entries)}</div>'
