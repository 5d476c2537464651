"""An evaluation as one self-contained HTML page."""

import dataclasses
import html
import io
from typing import Dict, List, Sequence, Tuple

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from adl_tf.data.description import DatasetDescription
from adl_tf.visualization.confusion import draw_confusion
from adl_tf.visualization.page import data_url, heading, inline_figure, page, percent, table
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
      name: of the image.
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
    galleries: Dict[str, Sequence[ScoredImage]],
) -> str:
    """Writes the page.

    Args:
      title: what was evaluated.
      facts: how it was evaluated, a few words each.
      summary: names and values to show first.
      scores: see `metrics.class_scores`.
      counts: [classes, classes] pixel counts by (true, predicted).
      description: of the data set.
      galleries: images under their headings; empty ones are left out.

    Returns:
      a whole HTML document, images inside.
    """
    parts = [
        heading(title, facts, summary),
        "<h2>Classes</h2>",
        _class_table(scores, description),
        "<h2>Confusion</h2>",
        '<p class="soft">Rows are true classes, columns predicted ones: percent of the true '
        "class's pixels.</p>",
        '<div class="confusion">',
        f"<div>{inline_figure(draw_confusion(counts, description), 'confusion matrix')}</div>",
        f"<div>{_confusion_table(counts, description)}</div>",
        "</div>",
        *(_gallery(title, images, description) for title, images in galleries.items() if images),
    ]
    return page(title, parts)


def _swatch(color) -> str:
    return f'<span class="swatch" style="background: rgb{tuple(color)}"></span>'


def _class_name(label: int, description: DatasetDescription) -> str:
    return _swatch(description.colors[label]) + html.escape(description.class_names[label])


def _class_table(scores, description) -> str:
    header = [("left", "class"), ("bar", ""), ("", "IoU"), ("", "recall"), ("", "precision")]
    header.append(("", "share of pixels"))

    def row(label):
        iou, recall, precision, share = (
            scores[name][label] for name in ("iou", "recall", "precision", "share")
        )
        bar = f'<div><div style="width: {100 * np.nan_to_num(iou):.1f}%"></div></div>'
        name = _class_name(label, description)
        return [name, bar, percent(iou), percent(recall), percent(precision), percent(share, 2)]

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
            _class_name(true, description),
            _class_name(predicted, description),
            percent(counts[true, predicted] / counts[true].sum()),
            percent(counts[true, predicted] / errors),
        ]
        for true, predicted in pairs
    )
    return table(header, rows)


def _gallery(title, images, description) -> str:
    titles = "".join(f"<span>{title}</span>" for title in PANEL_TITLES)
    lines = [f"<h2>{html.escape(title)}</h2>", f'<div class="titles">{titles}</div>']
    for image in images:
        panel = prediction_panel(image.image, image.label, image.prediction, description)
        buffer = io.BytesIO()
        # Without chroma subsampling, which would blur the edges of the label maps.
        Image.fromarray(panel).save(buffer, "JPEG", quality=85, subsampling=0)
        source, caption = data_url(buffer, "jpeg"), html.escape(image.name)
        lines.append(
            f"<figure><figcaption>{caption} <span class='soft'>mIoU {percent(image.miou)}"
            f'</span></figcaption><img alt="{caption}" src="{source}"></figure>'
        )
    return "\n".join([*lines, _legend(images, description)])


def _legend(images, description) -> str:
    maps = [part for image in images for part in (image.label, image.prediction)]
    entries = [_class_name(label, description) for label in classes_present(maps, description)]
    entries.append(_swatch(IGNORE_COLOR) + "ignored")
    return f'<div class="legend">{"".join(f"<span>{entry}</span>" for entry in entries)}</div>'
