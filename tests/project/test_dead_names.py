"""Names at the top of a module that nothing in the module uses: they are left over from a change."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_TOP_NAME = re.compile(
    r"^(?:(?P<decorator>@.*)\n)?(?:(?:(?:async )?def|class) (?P<defined>\w+)|(?P<assigned>\w+)(?:: [^=\n]+)? = )",
    re.MULTILINE,
)
"""The definition of a constant, a function or a class. A decorator may use the name."""


def _dead_names(code: str, *, is_test: bool) -> Iterator[str]:
    """Yield the names that no other module may use, and that are used nowhere in this one."""
    for definition in _TOP_NAME.finditer(code):
        name = definition["defined"] or definition["assigned"]
        own = re.match("_(?!_)|(?!Test)[A-Z]" if is_test else "_(?!_)", name)  # no module imports a file of tests
        if own and not definition["decorator"] and len(re.findall(rf"\b{name}\b", code)) == 1:
            yield name


@pytest.mark.parametrize("folder", ["service", "export", "proto", "tests", "docs"])
def test_every_name_is_used(folder: str) -> None:
    """ruff finds such names inside functions only."""
    paths = [
        path
        for path in (_ROOT / folder).rglob("*.py")
        if "_pb2" not in path.name and not {"fixtures", "node_modules"} & set(path.parts)
    ]
    assert paths
    assert not [
        f"{path}: {name}"
        for path in paths
        for name in _dead_names(path.read_text(), is_test=path.name.startswith("test_"))
    ]


def test_a_name_that_is_left_over_is_found() -> None:
    """Constants, functions and classes, and public ones in tests. Not fixtures, which pytest calls."""
    code = """
_A = 1
_B: int = 2
Rank = Callable[..., int]
@pytest.fixture(autouse=True)
def _no_file() -> None: ...
def _c() -> None: ...
async def _d() -> int:
    return _B
class _E: ...
class TestIt: ...
def test_it() -> None: ...
"""
    assert list(_dead_names(code, is_test=False)) == ["_A", "_c", "_d", "_E"]
    assert list(_dead_names(code, is_test=True)) == ["_A", "Rank", "_c", "_d", "_E"]
