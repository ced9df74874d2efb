"""Imports between the exporter's modules go one way."""

import ast
from pathlib import Path

import rerank_export

ROOT = Path(rerank_export.__file__).parent
ORDER = (
    *("errors", "reporter", "library_output", "threads", "source", "scoring", "inspection", "graph", "variants"),
    *("gate", "export_request", "bundle", "validation", "exporter", "interruption", "command_options", "command"),
)
"""Modules and packages. Each may import only itself and those before it."""


def _imports(path: Path) -> set[str]:
    return {
        node.module
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and node.module is not None
    }


def _part(module: str) -> str:
    """Return the module or package directly below rerank_export."""
    return module.split(".")[1]


def test_each_part_imports_only_parts_before_it() -> None:
    """ORDER names every module and package."""
    found = set()
    for path in ROOT.rglob("*.py"):
        part = path.relative_to(ROOT).parts[0].removesuffix(".py")
        if part == "__init__":
            continue
        found.add(part)
        ours = {_part(module) for module in _imports(path) if module.startswith("rerank_export.")}
        later = {module for module in ours if ORDER.index(module) > ORDER.index(part)}
        assert not later, f"{path.relative_to(ROOT)} imports {later}"
    assert found == set(ORDER)


def test_only_the_command_imports_the_command_line_of_the_service() -> None:
    """Progress and status lines reach the exporter as parameters."""
    outer = (
        "rerank_service.cli.output",
        "rerank_service.cli",
        "rerank_service.cli.commands",
        "rerank_service.models.tuning.background",
    )
    importers = {path.name for path in ROOT.rglob("*.py") if any(module.startswith(outer) for module in _imports(path))}
    assert importers == {"command.py", "command_options.py"}
