"""Makes pages of Markdown files outside docs/, whose links work here as they do there.

mkdocs calls `on_files` and `on_page_markdown` when it builds the pages.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "WORKSPACE.md": "layout.md",
    "benchmarks/RESULTS.md": "results.md",
}
_SOURCES = {page: source for source, page in PAGES.items()}
_LINK = re.compile(r"(!?\[([^\]]*)\])\(([^)#\s]+)(#[^)\s]*)?\)")


def on_files(files, config):
    """Adds the pages."""
    for source, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Points links to files of the repository at their pages; others become plain text."""
    own = page.file.src_uri
    folder = posixpath.dirname(_SOURCES.get(own, f"docs/{own}"))

    def point(link):
        label, text, path, anchor = link.groups(default="")
        target = posixpath.normpath(posixpath.join(folder, path))
        if not (ROOT / target).exists():
            return link[0]  # Another site, code, or a mistake, which the strict build reports.
        target = PAGES.get(target, target if target.startswith("docs/") else None)
        if target is None:
            return text
        target = posixpath.relpath(re.sub("^docs/", "", target), posixpath.dirname(own) or ".")
        return f"{label}({target}{anchor})"

    return _LINK.sub(point, markdown)
