"""An evaluation as one self-contained HTML page."""

import base64
import dataclasses
import html
import io
from typing import Dict, List, Sequence, Tuple

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from adl_tf.data.description import DatasetDescription
from adl_tf.visualization.confusion import draw_confusion
from adl_tf.visualization.predictions import (
    IGNORE_COLOR,
    PANEL_TITLES,
    classes_present,
    prediction_gallery,
    prediction_panel,
)

MAX_CONFUSIONS = 10

_STYLE = """
:root {
  --ink: #24292f; --soft: #667080; --line: #e2e6eb; --accent: #1f5fbf; --panel: #f6f8fa;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif;
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 40px 28px 64px; max-width: 1180px; color: var(--ink);
  background: white; }
h1 { font-size: 27px; margin: 0; letter-spacing: -0.01em; }
h2 { font-size: 19px; margin: 44px 0 12px; padding-bottom: 6px;
  border-bottom: 1px solid var(--line); }
p { margin: 4px 0 12px; }
.soft { color: var(--soft); }
.tiles { display: flex; flex-wrap: wrap; gap: 14px; margin-top: 22px; }
.tile { flex: 1 1 150px; padding: 12px 16px; background: var(--panel);
  border: 1px solid var(--line); border-radius: 8px; }
.tile b { display: block; font-size: 26px; line-height: 1.25; }
table { border-collapse: collapse; width: 100%; margin-top: 12px; }
.tile b, td { font-variant-numeric: tabular-nums; }
th { font-weight: 600; color: var(--soft); font-size: 13px; }
th, td { padding: 5px 10px; border-bottom: 1px solid var(--line); text-align: right; }
.left { text-align: left; padding-left: 0; }
.bar { width: 38%; }
.bar div { height: 10px; border-radius: 5px; background: var(--panel); }
.bar div div { background: var(--accent); }
.swatch { display: inline-block; width: 13px; height: 13px; margin-right: 8px;
  border: 1px solid rgba(0, 0, 0, 0.25); border-radius: 3px; vertical-align: -2px; }
.confusion { display: flex; flex-wrap: wrap; gap: 12px 36px; }
.confusion div + div { flex: 1 1 400px; }
figure { margin: 0 0 20px; }
figcaption { margin-bottom: 4px; }
img { display: block; max-width: 100%; }
figure img { width: 100%; }
.titles { display: grid; grid-template-columns: repeat(4, 1fr); text-align: center;
  font-size: 13px; color: var(--soft); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; font-size: 14px; }
"""


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
        return f"{self.name}   mIoU {_percent(self.miou)}"


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
        f"<h1>{html.escape(title)}</h1>",
        f'<p class="soft">{html.escape(" · ".join(facts))}</p>',
        '<div class="tiles">',
        *(
            f'<div class="tile"><span class="soft">{html.escape(name)}</span>'
            f"<b>{html.escape(value)}</b></div>"
            for name, value in summary.items()
        ),
        "</div>",
        "<h2>Classes</h2>",
        _class_table(scores, description),
        "<h2>Confusion</h2>",
        '<p class="soft">Rows are true classes, columns predicted ones: percent of the true '
        "class's pixels.</p>",
        '<div class="confusion">',
        f"<div>{_inline_figure(draw_confusion(counts, description))}</div>",
        f"<div>{_confusion_table(counts, description)}</div>",
        "</div>",
        *(
            _gallery(heading, images, description)
            for heading, images in galleries.items()
            if images
        ),
    ]
    body = "\n".join(parts)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def _percent(share: float, digits: int = 1) -> str:
    return "–" if np.isnan(share) else f"{100 * share:.{digits}f} %"


def _swatch(color) -> str:
    return f'<span class="swatch" style="background: rgb{tuple(color)}"></span>'


def _class_name(label: int, description: DatasetDescription) -> str:
    return _swatch(description.colors[label]) + html.escape(description.class_names[label])


def _table(header: Sequence[Tuple[str, str]], rows) -> str:
    """Header cells are (style, text), rows are lists of HTML in the same styles."""
    styles = [f' class="{style}"' if style else "" for style, _ in header]
    lines = ["<table>", "<tr>"]
    lines += [f"<th{style}>{text}</th>" for style, (_, text) in zip(styles, header)]
    for row in rows:
        cells = "".join(f"<td{style}>{cell}</td>" for style, cell in zip(styles, row))
        lines.append(f"</tr>\n<tr>{cells}")
    return "\n".join([*lines, "</tr>", "</table>"])


def _class_table(scores, description) -> str:
    header = [("left", "class"), ("bar", ""), ("", "IoU"), ("", "recall"), ("", "precision")]
    header.append(("", "share of pixels"))

    def row(label):
        iou, recall, precision, share = (
            scores[name][label] for name in ("iou", "recall", "precision", "share")
        )
        bar = f'<div><div style="width: {100 * np.nan_to_num(iou):.1f}%"></div></div>'
        name = _class_name(label, description)
        return [name, bar, _percent(iou), _percent(recall), _percent(precision), _percent(share, 2)]

    return _table(header, map(row, range(description.num_classes)))


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
            _percent(counts[true, predicted] / counts[true].sum()),
            _percent(counts[true, predicted] / errors),
        ]
        for true, predicted in pairs
    )
    return _table(header, rows)


def _gallery(heading, images, description) -> str:
    titles = "".join(f"<span>{title}</span>" for title in PANEL_TITLES)
    lines = [f"<h2>{html.escape(heading)}</h2>", f'<div class="titles">{titles}</div>']
    for image in images:
        panel = prediction_panel(image.image, image.label, image.prediction, description)
        buffer = io.BytesIO()
        # Without chroma subsampling, which would blur the edges of the label maps.
        Image.fromarray(panel).save(buffer, "JPEG", quality=85, subsampling=0)
        source, caption = _data_url(buffer, "jpeg"), html.escape(image.name)
        lines.append(
            f"<figure><figcaption>{caption} <span class='soft'>mIoU {_percent(image.miou)}"
            f'</span></figcaption><img alt="{caption}" src="{source}"></figure>'
        )
    return "\n".join([*lines, _legend(images, description)])


def _legend(images, description) -> str:
    maps = [part for image in images for part in (image.label, image.prediction)]
    entries = [_class_name(label, description) for label in classes_present(maps, description)]
    entries.append(_swatch(IGNORE_COLOR) + "ignored")
    return f'<div class="legend">{"".join(f"<span>{entry}</span>" for entry in entries)}</div>'


def _inline_figure(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150)
    width = figure.get_size_inches()[0] * 100
    source = _data_url(buffer, "png")
    return f'<img alt="confusion matrix" style="width: {width:.0f}px" src="{source}">'


def _data_url(buffer: io.BytesIO, image_format: str) -> str:
    return f"data:image/{image_format};base64,{base64.b64encode(buffer.getvalue()).decode()}"
