"""Pages name another section by a link, not by its place: the next change may put a section between the two."""

import re

import pytest

from support.page_blocks import ROOT, all_pages

_PLACE = re.compile(
    r"\b(?:next|previous|preceding|following)\s+section\b|\bsection\s+(?:before|after|above|below)\b", re.IGNORECASE
)


@pytest.mark.parametrize("page", all_pages())
def test_no_section_is_named_by_its_place(page: str) -> None:
    """A wrong place reads as if it were right."""
    assert not _PLACE.findall((ROOT / page).read_text(encoding="utf-8"))
