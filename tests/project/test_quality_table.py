"""The README shows the ranking quality of the starter as its card does."""

import re

from support.page_blocks import ROOT


def _table(page: str) -> list[str]:
    return re.findall(
        r"^\| .*\d\.\d{3} \|.*$", (ROOT / page).read_text(encoding="utf-8").split("BM25 | starter")[1], re.MULTILINE
    )[:9]


def test_readme_has_the_table_of_the_card() -> None:
    """All 17 collections and the mean."""
    table = _table("README.md")
    assert len(table) == 9
    assert table == _table("docs/starter.md")
