"""The tables of docs/design.md that name functions and types: each is in the file beside it."""

import re
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_SERVICE = _ROOT / "service" / "rerank_service"
_NAME, _FILE = re.compile(r"`([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)?)`"), re.compile(r"`([\w/]+\.py)`")


def _rows() -> list[tuple[str, str]]:
    """Return the cells with names and with files, of each row of both tables."""
    page = (_ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    cells = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("| ") and line.count("|") == 5]
    return [(row[1], row[2]) for row in cells if _NAME.search(row[1]) and _FILE.search(row[2])]


@pytest.mark.parametrize(("names", "files"), _rows())
def test_named_code_is_in_its_file(names: str, files: str) -> None:
    """A renamed function would otherwise stay in the table."""
    source = "\n".join((_SERVICE / path).read_text(encoding="utf-8") for path in _FILE.findall(files))
    for name in _NAME.findall(names):
        for part in name.split("."):
            assert re.search(rf"^\s*(async def|def|class) {part}\b", source, re.MULTILINE), f"{name} is not in {files}"


def test_both_tables_are_read() -> None:
    """A change of their form would leave the test above without rows."""
    assert {"`Reranker.rerank`", "`ServedModel`"} <= {names.strip() for names, _ in _rows()}
