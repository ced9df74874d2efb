"""Print which package imports which: `make import-graph`.

Each line is one package or top-level module of rerank_service (or of the package given as argument).
"""

import sys
from collections import defaultdict

import grimp


def package_imports(name: str) -> dict[str, set[str]]:
    """Return, for each package or top-level module of `name`, the others that it imports."""
    graph = grimp.build_graph(name, cache_dir=None)
    imports: dict[str, set[str]] = defaultdict(set)
    for importer in graph.modules:
        for imported in graph.find_modules_directly_imported_by(importer):
            source, target = _top(importer), _top(imported)
            if source != target:
                imports[source].add(target)
    return imports


def _top(module: str) -> str:
    """Return the part directly below the package; the package itself is `__init__`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


if __name__ == "__main__":
    for source, targets in sorted(package_imports(*(sys.argv[1:] or ["rerank_service"])).items()):
        print(f"{source:16} -> {', '.join(sorted(targets))}")
