"""The time limits of tests: for calls of httpx, and for a whole test."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_WAITING = {"get", "options", "head", "post", "put", "patch", "delete", "request", "stream", "Client", "AsyncClient"}
"""Functions and classes of httpx that take a timeout."""


_DEFAULT = int(tomllib.loads((_ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["timeout"])
"""Seconds after which a test is ended that has no mark."""


def _without_timeout(code: str) -> Iterator[int]:
    """Yield the lines of the calls that leave it to httpx."""
    for node in ast.walk(ast.parse(code)) if "httpx." in code else ():
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name("httpx"), attr=name)) if name in _WAITING:
                if "timeout" not in [keyword.arg for keyword in node.keywords]:
                    yield node.lineno


@pytest.mark.parametrize("folder", ["service", "export", "tests", "docs"])
def test_httpx_is_told_how_long_to_wait(folder: str) -> None:
    """Its default of 5 s is too short for a busy machine, on which a server tunes or loads a model."""
    paths = sorted((_ROOT / folder).rglob("*.py"))
    assert paths
    assert not [f"{path}:{line}" for path in paths for line in _without_timeout(path.read_text())]


def test_a_call_without_a_timeout_is_found() -> None:
    """By the line on which it begins."""
    code = 'httpx.get("a", timeout=1)\nhttpx.get("b")\nhttpx.URL("c")\nhttpx.AsyncClient()\n'
    assert list(_without_timeout(code)) == [2, 4]


def test_marks_only_extend_the_time_of_a_test() -> None:
    """A mark counts more than the option --timeout, with which the same test has more time at night."""
    marks = [
        (path.name, int(seconds))
        for path in (_ROOT / "tests").rglob("test_*.py")
        for seconds in re.findall(r"pytest\.mark\.timeout\((\d+)\)", path.read_text())
    ]
    assert marks
    assert not [(name, seconds) for name, seconds in marks if seconds <= _DEFAULT]
