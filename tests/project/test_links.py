"""Links between the pages of the repository lead to files and sections that exist."""

import re
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from support.page_blocks import ROOT, all_pages

CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)\s]+)\)")


@cache
def _anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the titles of a page. Equal titles get a number."""
    anchors: set[str] = set()
    count: Counter[str] = Counter()
    for title in re.findall(r"^#+ (.*)$", CODE.sub("", page.read_text()), re.MULTILINE):
        text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", title).strip().lower()
        anchor = re.sub(r"[^\w\- ]", "", text).replace(" ", "-")
        anchors.add(f"{anchor}-{count[anchor]}" if count[anchor] else anchor)
        count[anchor] += 1
    return anchors


@pytest.mark.parametrize("page", all_pages())
def test_links_have_targets(page: str) -> None:
    """A link names a file of the repository and, in a page, one of its titles."""
    for link in LINK.findall(CODE.sub("", (ROOT / page).read_text())):
        path, _, anchor = link.partition("#")
        target = ((ROOT / page).parent / path).resolve() if path else ROOT / page
        assert target.exists(), link
        assert not anchor or target.suffix != ".md" or anchor in _anchors(target), link
