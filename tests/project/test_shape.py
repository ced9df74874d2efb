"""Upper bounds for the size of files, functions and constructors."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[2]
_FILES = [
    path
    for folder in ("service/rerank_service", "export/rerank_export", "proto/rerank")
    for path in sorted((_ROOT / folder).rglob("*.py"))
    if "_pb2" not in path.name
]
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 50
MAX_POSITIONAL_PARAMETERS = 6
"""Limit for constructors, without `self`. More positional arguments are easy to swap: make them keyword-only."""


def _nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text()))


@pytest.mark.parametrize("path", _FILES, ids=lambda path: str(path.relative_to(_ROOT)))
def test_file_is_within_the_size_limits(path: Path) -> None:
    """The file and each function and constructor in it are small enough."""
    assert len(path.read_text().splitlines()) <= MAX_FILE_LINES
    for node in _nodes(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or 0) - node.lineno + 1
            assert lines <= MAX_FUNCTION_LINES, f"{node.name} has {lines} lines"
        if isinstance(node, ast.ClassDef):
            count = _positional_parameters(node)
            assert count <= MAX_POSITIONAL_PARAMETERS, f"{node.name} takes {count} positional arguments"


def _positional_parameters(node: ast.ClassDef) -> int:
    """Count the positional parameters of a constructor: those of `__init__`, or the fields of a dataclass."""
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and part.name == "__init__":
            return len(part.args.args) + len(part.args.posonlyargs) - 1
    dataclass = next((call for call in node.decorator_list if "dataclass" in ast.unparse(call)), None)
    if dataclass is None or "kw_only=True" in ast.unparse(dataclass):
        return 0
    fields = [part for part in node.body if isinstance(part, ast.AnnAssign)]
    names = [ast.unparse(part.annotation) for part in fields]
    positional = fields[: names.index("KW_ONLY")] if "KW_ONLY" in names else fields
    return len([part for part in positional if "init=False" not in ast.unparse(part)])
