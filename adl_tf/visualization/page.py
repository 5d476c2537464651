"""Self-contained HTML pages: their style, and the parts that they share."""

import base64
import html
import io
from typing import Dict, Iterable, Sequence, Tuple

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from adl_tf.visualization.figure import plain_text

_STYLE = """
:root {
  color-scheme: light dark;
  --ink: #24292f; --soft: #59636e; --line: #e2e6eb; --accent: #1f5fbf; --panel: #f6f8fa;
  --paper: #ffffff;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, Arial, sans-serif;
}
@media (prefers-color-scheme: dark) {
  :root { --ink: #dfe4ea; --soft: #9aa5b1; --line: #343b44; --accent: #6ea8fe; --panel: #1d2229;
    --paper: #14181d; }
  img.drawing { border-radius: 8px; padding: 6px; background: white; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 40px 28px 64px; max-width: 1180px; color: var(--ink);
  background: var(--paper); overflow-wrap: break-word; }
h1 { font-size: 27px; margin: 0; letter-spacing: -0.01em; }
h2 { font-size: 19px; margin: 44px 0 12px; padding-bottom: 6px;
  border-bottom: 1px solid var(--line); }
p { margin: 4px 0 12px; }
a { color: var(--accent); }
.soft { color: var(--soft); }
.tiles { display: flex; flex-wrap: wrap; gap: 14px; margin: 22px 0; }
.tile { flex: 1 1 150px; padding: 12px 16px; background: var(--panel);
  border: 1px solid var(--line); border-radius: 8px; }
.tile b { display: block; font-size: 26px; line-height: 1.25; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin-top: 12px; }
.tile b, td { font-variant-numeric: tabular-nums; }
th { font-weight: 600; color: var(--soft); font-size: 13px; }
th, td { padding: 5px 10px; border-bottom: 1px solid var(--line); text-align: right; }
td { white-space: nowrap; }
.left { text-align: left; padding-left: 0; min-width: 100px; white-space: normal; }
.bar { width: 30%; min-width: 80px; }
.bar div { height: 10px; border-radius: 5px; background: var(--panel); }
.bar div div { background: var(--accent); box-shadow: 0 0 0 1px rgba(128, 128, 128, 0.5); }
td:has(.swatch) { white-space: nowrap; }
.swatch { display: inline-block; width: 13px; height: 13px; margin-right: 8px;
  border: 1px solid rgba(128, 128, 128, 0.5); border-radius: 3px; vertical-align: -2px; }
.confusion { display: flex; flex-wrap: wrap; gap: 12px 36px; }
.confusion > div { min-width: 0; max-width: 100%; }
.confusion > div + div { flex: 1 1 320px; }
figure { margin: 0 0 20px; }
figcaption { margin-bottom: 4px; }
img { display: block; max-width: 100%; }
figure img { width: 100%; cursor: zoom-in; }
figure.zoomed { position: fixed; inset: 0; z-index: 1; margin: 0; padding: 14px; overflow: auto;
  background: var(--paper); }
.zoomed img { width: 250%; max-width: none; image-rendering: pixelated; cursor: zoom-out; }
pre { padding: 10px 14px; background: var(--panel); font-size: 12px; overflow-x: auto; }
.titles { display: grid; grid-auto-flow: column; grid-auto-columns: 1fr; text-align: center;
  font-size: 13px; color: var(--soft); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 20px; margin: 8px 0; font-size: 14px; }
button { font: inherit; font-size: 13px; color: var(--ink); background: var(--panel);
  border: 1px solid var(--line); border-radius: 6px; padding: 3px 10px; cursor: pointer; }
@media (max-width: 600px) { body { padding: 20px 14px 40px; } th, td { padding: 5px 6px; }
  img.drawing { max-width: 720px; } }
"""
# A click on a picture makes it larger; one on a button puts what is in its box in another order.
_SCRIPT = """
document.addEventListener("click", ({target}) => {
  if (target.matches("figure img")) target.closest("figure").classList.toggle("zoomed");
  const key = target.dataset.sort;
  if (!key) return;
  for (const box of document.querySelectorAll("[data-sorted]")) {
    const items = [...box.children].filter(item => item.dataset.name);
    const order = key === "name"
      ? (a, b) => a.dataset.name.localeCompare(b.dataset.name, undefined, {numeric: true})
      : (a, b) => (a.dataset.score - b.dataset.score) * (key === "best" ? -1 : 1);
    items.sort(order).forEach(item => box.append(item));
  }
});
document.addEventListener("keydown", ({key}) => {
  if (key === "Escape")
    document.querySelectorAll(".zoomed").forEach(figure => figure.classList.remove("zoomed"));
});
"""


def page(title: str, parts: Iterable[str]) -> str:
    """A whole HTML document of parts."""
    body = "\n".join(parts)
    return (
        f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )


def heading(title: str, facts: Sequence[str], summary: Dict[str, str]) -> str:
    """The top of a page.

    Args:
      title: title of the page.
      facts: a few words each.
      summary: names and values to show first.
    """
    return "\n".join(
        [
            f"<h1>{html.escape(title)}</h1>",
            f'<p class="soft">{html.escape(" · ".join(facts))}</p>',
            '<div class="tiles">',
            *(
                f'<div class="tile"><span class="soft">{html.escape(name)}</span>'
                f"<b>{html.escape(value)}</b></div>"
                for name, value in summary.items()
            ),
            "</div>",
        ]
    )


def table(header: Sequence[Tuple[str, str]], rows) -> str:
    """Header cells are (style, text), rows are lists of HTML in the same styles."""
    styles = [f' class="{style}"' if style else "" for style, _ in header]
    lines = ['<div class="scroll"><table>', "<tr>"]
    lines += [f"<th{style}>{text}</th>" for style, (_, text) in zip(styles, header)]
    for row in rows:
        cells = "".join(f"<td{style}>{cell}</td>" for style, cell in zip(styles, row))
        lines.append(f"</tr>\n<tr>{cells}")
    return "\n".join([*lines, "</tr>", "</table></div>"])


def percent(share: float, digits: int = 1) -> str:
    """A share in percent; a dash for nan."""
    return "–" if np.isnan(share) else f"{100 * share:.{digits}f} %"


def inline_figure(figure: Figure, text: str) -> str:
    """A figure inside the page.

    Args:
      figure: drawn as PNG.
      text: says what it shows.
    """
    buffer = io.BytesIO()
    with plain_text(figure):
        figure.savefig(buffer, format="png", dpi=150)
    width = figure.get_size_inches()[0] * 100
    source = data_url(buffer, "png")
    style = f"width: {width:.0f}px"
    image = f'<img class="drawing" alt="{html.escape(text)}" style="{style}" src="{source}">'
    return f'<div class="scroll">{image}</div>'


def inline_photo(pixels: np.ndarray, text: str) -> str:
    """A picture inside the page, which a click makes larger where it is in a figure.

    Args:
      pixels: uint8 [H, W, 3].
      text: says what it shows.
    """
    buffer = io.BytesIO()
    # Without chroma subsampling, which would blur the edges of label maps.
    Image.fromarray(pixels).save(buffer, "JPEG", quality=85, subsampling=0)
    return f'<img alt="{html.escape(text)}" src="{data_url(buffer, "jpeg")}">'


def swatch(color: Sequence[int]) -> str:
    """A small square of a color, (red, green, blue)."""
    return f'<span class="swatch" style="background: rgb{tuple(color)}"></span>'


def bar(share: float, color: Sequence[int] = ()) -> str:
    """A bar of a length from 0 to 1, in a cell of the style "bar"; none for nan."""
    paint = f"; background: rgb{tuple(color)}" if color else ""
    return f'<div><div style="width: {100 * np.nan_to_num(share):.1f}%{paint}"></div></div>'


def data_url(buffer: io.BytesIO, image_format: str) -> str:
    """An image as a URL that contains it."""
    return f"data:image/{image_format};base64,{base64.b64encode(buffer.getvalue()).decode()}"
