"""The arrows between modules go one way."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import rerank_service

_ROOT = Path(rerank_service.__file__).parent
_MODULES = {
    path.relative_to(_ROOT.parent).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__"): path
    for path in _ROOT.rglob("*.py")
}
_COMPOSITION = {"rerank_service.server", "rerank_service.__main__", "rerank_service.settings"}
_OUTER = ("rerank_service.api", "rerank_service.cli.commands", "rerank_service.cli.output")


def _imports(path: Path) -> set[str]:
    """Modules of ours that a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def _core() -> dict[str, Path]:
    return {name: path for name, path in _MODULES.items() if name not in _COMPOSITION and not name.startswith(_OUTER)}


def test_the_core_knows_no_edge() -> None:
    """Neither api nor commands nor what a terminal shows."""
    for name, path in _core().items():
        outward = {module for module in _imports(path) if module.startswith(_OUTER)}
        assert not outward, f"{name} imports {outward}"


def test_only_the_composition_root_knows_the_settings() -> None:
    """Parts receive values."""
    for name, path in _MODULES.items():
        if name not in _COMPOSITION and not name.startswith("rerank_service.cli.commands"):
            assert "rerank_service.settings" not in _imports(path), name


def test_the_service_never_imports_the_exporter() -> None:
    """torch stays out of the serving image."""
    for name, path in _MODULES.items():
        assert not any(module.startswith("rerank_export") for module in _imports(path)), name


def test_the_batching_policy_is_pure() -> None:
    """No clock, no queue, no lock, no socket."""
    allowed = (
        "collections",
        "dataclasses",
        "itertools",
        "math",
        "numpy",
        "typing",
        "rerank_service.scheduling.batching",
    )
    for name in (
        "rerank_service.scheduling.batching",
        "rerank_service.scheduling.memory_budget",
        "rerank_service.scheduling.fair_queue",
    ):
        foreign = {module for module in _imports(_MODULES[name]) if not module.startswith(allowed)}
        assert not foreign, f"{name} imports {foreign}"


def test_onnxruntime_is_told_not_to_report() -> None:
    """It reads the variable when it is imported, so whoever imports it must have set it first."""
    importers = [name for name, path in _MODULES.items() if "onnxruntime" in _imports(path)]
    assert importers == ["rerank_service.engine.runtime"]
    code = "import os, rerank_service.engine.runtime; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert told.stdout == "1\n"


def test_imports_have_no_cycle() -> None:
    """Each module can be understood after those that it imports."""
    edges = {
        name: {module for module in _imports(path) if module in _MODULES and module != name}
        for name, path in _MODULES.items()
    }
    while leaves := [name for name, targets in edges.items() if not targets & edges.keys()]:
        for leaf in leaves:
            del edges[leaf]
    assert not edges, f"a cycle among {sorted(edges)}"
