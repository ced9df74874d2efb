"""Markdown for language models: a twin of each page at its own path (clients.md beside clients.html), and llms.txt.

llms.txt (https://llmstxt.org) lists the pages with one sentence each. llms-full.txt has the text of all pages.
"""

import posixpath
import re
from dataclasses import dataclass
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import Files
from mkdocs.structure.nav import Navigation
from mkdocs.structure.pages import Page

_NOT_IN_NAV = "Optional"
"""Section of llms.txt that a reader with little room leaves out: here the decisions."""


@dataclass(frozen=True, slots=True)
class _Twin:
    uri: str
    title: str
    section: str
    markdown: str

    @property
    def summary(self) -> str:
        """Return the first sentence of the page, if the page begins with one."""
        prose = re.sub(r"<!--[^>]*-->|^#.*$", "", self.markdown, flags=re.MULTILINE)
        first = re.split(r"\n\s*\n", prose.strip(), maxsplit=1)[0]
        if re.match(r"[-|>!]|```|\* ", first):
            return ""
        text = " ".join(re.sub(r"\[([^]]*)\]\([^)]*\)|\*\*", r"\1", first).split())
        return re.split(r"(?<=[.:]) ", text)[0].rstrip(":")


_twins: dict[str, _Twin] = {}
_order: list[str] = []


def on_nav(nav: Navigation, config: MkDocsConfig, files: Files) -> Navigation:
    """Remember the order of the pages."""
    _twins.clear()
    _order[:] = [page.file.src_uri for page in nav.pages]
    return nav


@event_priority(-100)  # after all hooks that change the text
def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Keep the text of a page."""
    ancestors = [section.title for section in page.ancestors]
    section = ancestors[-1] if ancestors else _NOT_IN_NAV if page.file.src_uri not in _order else "Start"
    title = re.sub(r"[`*]", "", str(page.title or page.file.name))
    _twins[page.file.src_uri] = _Twin(page.file.src_uri, title, section, markdown)
    return markdown


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Name the twin in the head of the page."""
    twin = posixpath.basename(page.file.src_uri)
    return output.replace("</head>", f'<link rel="alternate" type="text/markdown" href="{twin}"></head>', 1)


def on_post_build(config: MkDocsConfig) -> None:
    """Write the twins, llms.txt and llms-full.txt."""
    site = Path(config.site_dir)
    listed = [uri for uri in _order if uri in _twins]
    twins = [_twins[uri] for uri in [*listed, *sorted(_twins.keys() - set(listed))]]
    for twin in twins:
        path = site / twin.uri
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(twin.markdown, encoding="utf-8")
    head = f"# {config.site_name}\n\n> {config.site_description}\n"
    (site / "llms.txt").write_text(head + _list(twins), encoding="utf-8")
    texts = (f"\n<!-- {twin.uri} -->\n\n{twin.markdown.strip()}\n" for twin in twins if twin.section != _NOT_IN_NAV)
    (site / "llms-full.txt").write_text(head + "".join(texts), encoding="utf-8")


def _list(twins: list[_Twin]) -> str:
    sections: dict[str, list[str]] = {}
    for twin in twins:
        summary = f": {twin.summary}" if twin.summary else ""
        sections.setdefault(twin.section, []).append(f"- [{twin.title}]({twin.uri}){summary}\n")
    return "".join(f"\n## {name}\n\n{''.join(lines)}" for name, lines in sections.items())
