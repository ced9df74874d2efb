"""The page of the how-to guides has a row for each page that mkdocs.yml shows among them."""

import re

from support.page_blocks import ROOT

_GUIDES = ROOT / "docs" / "how-to" / "index.md"


def test_each_how_to_guide_has_a_row() -> None:
    """A reader on GitHub has no navigation but this page."""
    (group,) = re.findall(r"^  - How-to guides:\n((?:   .*\n)+)", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    pages = re.findall(r"[\w./-]+\.md$", group, re.MULTILINE)
    assert len(pages) > 20
    shown = [path if (ROOT / path).exists() else f"docs/{path}" for path in pages]
    links = re.findall(r"\]\(([^)#]+\.md)", _GUIDES.read_text(encoding="utf-8"))
    linked = {(_GUIDES.parent / link).resolve() for link in links} | {_GUIDES}
    missing = [path for path in shown if ROOT / path not in linked]
    assert not missing
