"""Check every link of the built pages that stays on this site: its page, picture or file, and its anchor.

Sphinx checks what it resolves itself; what is written as HTML, or by the gallery, it passes on as it is. A
link that leads nowhere is a warning, and with -W the build fails. Other sites are not asked: the
build needs no network.
"""

from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


def setup(app: Any) -> dict[str, Any]:
    """Look at the pages when all of them are written."""
    app.connect("build-finished", warn_of_dead_links)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def warn_of_dead_links(app: Any, exception: Exception | None) -> None:
    """Warn of each link in `app.outdir` that leads nowhere."""
    from sphinx.util import logging

    if exception is None and app.builder.format == "html":
        logger = logging.getLogger(__name__)
        for page, link in dead_links(Path(app.outdir)):
            logger.warning("%s: nothing is at %s", page, link, type="local_links")


def dead_links(root: Path) -> list[tuple[str, str]]:
    """Return (page, link) for each link between the pages under `root` that leads nowhere."""
    files = (path for path in sorted(root.rglob("*.html")) if "_static" not in path.parts)
    pages = {path.resolve(): Page(path) for path in files}
    dead = []
    for path, page in pages.items():
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            anchor = unquote(parts.fragment)
            known = target not in pages or anchor in pages[target].anchors
            if not target.is_file() or (anchor and not known):
                dead.append((str(path.relative_to(root.resolve())), link))
    return dead


class Page(HTMLParser):
    """The links of a page and the anchors in it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note href, src, id and name; "#" alone is a button."""
        for key, value in attrs:
            if key in ("href", "src") and value and value != "#":
                self.links.add(value)
            elif key == "id" or (key == "name" and tag == "a"):
                self.anchors.add(value or "")
