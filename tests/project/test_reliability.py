"""Each promise of docs/reliability.md names tests that exist."""

import re
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_PAGE = (_ROOT / "docs" / "reliability.md").read_text()


def test_the_tests_that_the_page_names_exist() -> None:
    """Functions and files, by the end of their paths. Each row of the tables of faults names at least one."""
    files = list((_ROOT / "tests").rglob("test_*.py"))
    functions = {name for file in files for name in re.findall(r"def (test_\w+)\(", file.read_text())}
    paths = [file.relative_to(_ROOT).as_posix() for file in files]
    faults = _PAGE.partition("\n## Faults\n")[2].partition("\n## ")[0]
    rows = [line for line in faults.splitlines() if line.startswith("| ") and not line.startswith("| Fault |")]
    assert rows
    for row in rows:
        named = re.findall(r"`(test_\w+|[\w/]*test_\w+\.py)`", row)
        assert named, row
        for name in named:
            assert name in functions or any(path.endswith(name) for path in paths), name
