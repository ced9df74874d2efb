"""The import direction between packages, and who may import what. docs/design.md draws it."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

import rerank_service

_ROOT = Path(rerank_service.__file__).parent
_MODULES = {
    path.relative_to(_ROOT.parent).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__"): path
    for path in _ROOT.rglob("*.py")
}
LAYERS = (
    "__main__",
    "cli",
    "server",
    "wiring",
    ("api", "tools", "lifecycle"),
    "reranker",
    "live_request",
    "models",
    ("encoding", "engine"),
    "scheduling",
    "ranking",
    ("settings", "observability"),
    "settings_errors",
    ("installation", "progress", "quantities"),
)
"""From the outside in. A package imports only packages of later lines, and none of its own line."""
_KNOW_THE_SETTINGS = {"rerank_service.server", "rerank_service.wiring", "rerank_service.settings"}


def _imports(path: Path) -> set[str]:
    """Return the modules of ours that a module imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """The imports between all modules."""
    return grimp.build_graph("rerank_service", cache_dir=None)


def test_packages_import_in_one_direction(graph: grimp.ImportGraph) -> None:
    """So there is no cycle among packages."""
    layers = [grimp.Layer(*((layer,) if isinstance(layer, str) else layer), independent=True) for layer in LAYERS]
    wrong = graph.find_illegal_dependencies_for_layers(layers, containers={"rerank_service"})
    assert not wrong, [f"{arrow.importer} -> {arrow.imported}" for arrow in wrong]


def test_every_package_has_a_layer() -> None:
    """A new package has to be placed; errors.py is imported by all."""
    placed = {name for layer in LAYERS for name in ((layer,) if isinstance(layer, str) else layer)}
    assert placed | {"errors", "__init__"} == {path.stem for path in _ROOT.iterdir() if path.suffix == ".py"} | {
        path.parent.name for path in _ROOT.glob("*/__init__.py")
    }


def test_modules_have_no_cycle(graph: grimp.ImportGraph) -> None:
    """Each module can be understood after the modules that it imports."""
    edges = {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}
    while leaves := [module for module, targets in edges.items() if not targets & edges.keys()]:
        for leaf in leaves:
            del edges[leaf]
    assert not edges, f"a cycle among {sorted(edges)}"


def test_only_the_composition_root_knows_the_settings() -> None:
    """Parts receive values."""
    for name, path in _MODULES.items():
        if name not in _KNOW_THE_SETTINGS and not name.startswith("rerank_service.cli"):
            assert "rerank_service.settings" not in _imports(path), name


def test_the_service_never_imports_the_exporter() -> None:
    """torch stays out of the serving image."""
    for name, path in _MODULES.items():
        assert not any(module.startswith("rerank_export") for module in _imports(path)), name


@pytest.mark.parametrize("name", ["batching", "memory_budget", "fair_queue"])
def test_the_scheduling_policy_is_pure(name: str) -> None:
    """No clock, no lock, no socket."""
    allowed = (
        "collections",
        "dataclasses",
        "itertools",
        "math",
        "numpy",
        "typing",
        "rerank_service.scheduling.batching",
    )
    foreign = {
        module
        for module in _imports(_MODULES[f"rerank_service.scheduling.{name}"])
        if not module.startswith((*allowed, "rerank_service.quantities"))
    }
    assert not foreign, f"{name} imports {foreign}"


@pytest.mark.parametrize("command", ["eval", "calibrate", "tune", "rank"])
def test_commands_that_serve_nothing_import_no_server(command: str) -> None:
    """FastAPI, uvicorn and the gRPC server take half a second to import."""
    code = (
        "import sys, ast, importlib, pathlib\n"
        f"import rerank_service.cli.commands.{command} as module\n"
        "for node in ast.walk(ast.parse(pathlib.Path(module.__file__).read_text())):\n"
        "    if isinstance(node, ast.ImportFrom): importlib.import_module(node.module)\n"
        "print(*({'fastapi', 'uvicorn', 'rerank_service.api.grpc.server'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "\n"


def test_onnxruntime_does_not_report_to_its_vendor() -> None:
    """onnxruntime reads the variable when it is imported, so the module that imports it sets it before."""
    importers = [name for name, path in _MODULES.items() if "onnxruntime" in _imports(path)]
    assert importers == ["rerank_service.engine.runtime"]
    code = "import os, rerank_service.engine.runtime; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert ran.stdout == "1\n"
