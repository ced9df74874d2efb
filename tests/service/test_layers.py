"""The import direction between packages, and the imports that are forbidden. docs/design.md shows the diagram."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

import rerank_service

_ROOT = Path(rerank_service.__file__).parent
_DESIGN = _ROOT.parents[1] / "docs" / "design.md"
_MODULES = {
    path.relative_to(_ROOT.parent).with_suffix("").as_posix().replace("/", ".").removesuffix(".__init__"): path
    for path in _ROOT.rglob("*.py")
}
LAYERS = (
    "__main__",
    "cli",
    ("server", "local_server"),
    "edges",
    "admin_port",
    "core",
    "wiring",
    ("api", "tools", "metrics", "tracing"),
    "lifecycle",
    "reranker",
    "live_highlights",
    ("live_request", "tokenizing"),
    ("models", "usage_meter", "sent_documents"),
    ("encoding", "engine"),
    ("scheduling", "ranking"),
    ("settings", "observability"),
    ("settings_errors", "progress"),
    (
        "error_text",
        "file_version",
        "garbage",
        "installation",
        "json_types",
        "long_work",
        "lossy_stderr",
        "model_names",
        "paced_calls",
        "quantities",
        "rust_panics",
        "suggestion",
        "surrogates",
        "thread_priority",
        "yaml_entries",
    ),
)
"""Packages from the outside to the inside. A package imports only from later lines, and not from its own line.

Plain names are modules. `errors` has no line: every package imports it."""
_READERS_OF_SETTINGS = (
    "rerank_service.server",
    "rerank_service.local_server",
    "rerank_service.core",
    "rerank_service.edges",
    "rerank_service.admin_port",
    "rerank_service.wiring",
    "rerank_service.settings",
    "rerank_service.cli",
)


def _imports(path: Path) -> set[str]:
    """Return all names that a file imports, also inside functions."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """Return the imports between all modules."""
    return grimp.build_graph("rerank_service", cache_dir=None)


def test_packages_import_in_one_direction(graph: grimp.ImportGraph) -> None:
    """LAYERS has the order, so packages have no import cycle."""
    layers = [grimp.Layer(*((layer,) if isinstance(layer, str) else layer), independent=True) for layer in LAYERS]
    wrong = graph.find_illegal_dependencies_for_layers(layers, containers={"rerank_service"})
    assert not wrong, [f"{arrow.importer} -> {arrow.imported}" for arrow in wrong]


def test_every_package_has_a_layer() -> None:
    """A new package needs a line in LAYERS."""
    placed = {name for layer in LAYERS for name in ((layer,) if isinstance(layer, str) else layer)}
    assert placed | {"errors", "__init__"} == {path.stem for path in _ROOT.iterdir() if path.suffix == ".py"} | {
        path.parent.name for path in _ROOT.glob("*/__init__.py")
    }


def test_the_design_page_has_a_row_for_every_package_and_module() -> None:
    """A reader finds what each of them is for."""
    page = _DESIGN.read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    shown = set(re.findall(r"`(\w+)(?:\.py|/)`", " ".join(rows)))
    placed = {name for layer in LAYERS for name in ((layer,) if isinstance(layer, str) else layer)}
    assert placed - shown == {"__main__"}


def test_modules_have_no_cycle(graph: grimp.ImportGraph) -> None:
    """A reader can understand each module after the modules that it imports."""
    edges = {module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules}
    while leaves := [module for module, targets in edges.items() if not targets & edges.keys()]:
        for leaf in leaves:
            del edges[leaf]
    assert not edges, f"import cycle: {sorted(edges)}"


def test_only_the_composition_root_reads_the_settings() -> None:
    """Each part takes plain values, so that it can be tested without settings."""
    for name, path in _MODULES.items():
        if not name.startswith(_READERS_OF_SETTINGS):
            assert "rerank_service.settings" not in _imports(path), name


def test_the_service_never_imports_the_exporter() -> None:
    """The exporter needs torch, and the serving image does not contain torch."""
    for name, path in _MODULES.items():
        assert not any(module.startswith("rerank_export") for module in _imports(path)), name


_POLICY = (
    "batching",
    "cost_model",
    "fair_queue",
    "forecast",
    "lane_shares",
    "lane_speed",
    "memory_budget",
    "token_bucket",
    "urgency_line",
)
"""The modules of the scheduling policy (docs/design.md#rules)."""


@pytest.mark.parametrize("name", _POLICY)
def test_the_scheduling_policy_is_pure(name: str) -> None:
    """The policy imports no clock, lock or socket, so that a test can run it step by step."""
    allowed = (
        "collections",
        "dataclasses",
        "fractions",
        "heapq",
        "itertools",
        "math",
        "numpy",
        "typing",
        "rerank_service.quantities",
        *(f"rerank_service.scheduling.{each}" for each in _POLICY),
    )
    imported = _imports(_MODULES[f"rerank_service.scheduling.{name}"])
    forbidden = {module for module in imported if not module.startswith(allowed)}
    assert not forbidden, f"{name} imports {forbidden}"


def test_the_documented_policy_is_the_checked_one() -> None:
    """docs/design.md names its modules."""
    rule = re.search("Policy is pure: (.*?) have no clock", _DESIGN.read_text(encoding="utf-8"), re.DOTALL)
    assert rule is not None
    assert sorted(re.findall(r"`(\w+)\.py`", rule[1])) == sorted(_POLICY)


@pytest.mark.parametrize("command", ["eval", "calibrate", "tune", "rank"])
def test_commands_without_a_server_import_none(command: str) -> None:
    """The import of FastAPI, uvicorn and the gRPC server takes half a second."""
    code = (
        "import sys, ast, importlib, pathlib\n"
        f"import rerank_service.cli.commands.{command} as module\n"
        "for node in ast.walk(ast.parse(pathlib.Path(module.__file__).read_text())):\n"
        "    if isinstance(node, ast.ImportFrom): importlib.import_module(node.module)\n"
        "print(*({'fastapi', 'uvicorn', 'rerank_service.api.grpc.server'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "\n"


def test_servers_are_imported_while_the_models_load() -> None:
    """FastAPI, only when someone opens the page /docs."""
    code = (
        "import sys, rerank_service.server\n"
        "first = {'uvicorn', 'starlette.routing', 'rerank_service.api.grpc.server'} & set(sys.modules)\n"
        "import rerank_service.edges\n"
        "print(*first, *({'fastapi', 'httpx'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "\n"


def test_the_command_line_sets_the_verbosity_of_grpc_before_its_import() -> None:
    """gRPC reads the variable at import. Otherwise it would print a line for each failed TLS handshake."""
    code = (
        "import os, sys, rerank_service.__main__\n"
        "os.environ.pop('GRPC_VERBOSITY', None); sys.argv = ['rerank', '--version']; before = 'grpc' in sys.modules\n"
        "class Watch:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'grpc': print(before, os.environ.get('GRPC_VERBOSITY'))\n"
        "sys.meta_path.insert(0, Watch())\n"
        "sys.argv = ['rerank', 'rank']\n"
        "try: rerank_service.__main__.main()\n"
        "except SystemExit: pass"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "False NONE\n"


def test_telemetry_of_onnxruntime_is_off() -> None:
    """onnxruntime reads the variable at import, so the only module that imports it sets the variable before."""
    importers = [name for name, path in _MODULES.items() if "onnxruntime" in _imports(path)]
    assert importers == ["rerank_service.engine.runtime"]
    code = "import os, rerank_service.engine.runtime; print(os.environ['ORT_DISABLE_TELEMETRY'])"
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert ran.stdout == "1\n"
