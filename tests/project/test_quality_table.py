"""README shows the ranking quality of the starter as its card does."""

import re

from support.page_blocks import ROOT

_TABLE = re.compile(r"^\| collection \(queries\) \|.*?(?=\n\n)", re.MULTILINE | re.DOTALL)


def test_readme_has_the_table_of_the_card() -> None:
    """The 17 collections and the mean, in nine rows below the head."""
    [table] = _TABLE.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(table.splitlines()) == 2 + 9
    assert [table] == _TABLE.findall((ROOT / "docs/starter.md").read_text(encoding="utf-8"))
