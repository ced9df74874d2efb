"""report.json: the comparison of each graph with PyTorch. It contains no date and no path of the machine."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from rerank_export.gate.edge_pairs import EdgeComparison
from rerank_export.gate.graph_finding import GraphFinding
from rerank_export.gate.parity_set import ParitySet
from rerank_service.engine.host import cpu, usable_cores
from rerank_service.models.bundle import Bundle
from rerank_service.models.manifest import Variant

Verdict = Literal["passed", "drift allowed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """All results of the gate for one bundle."""

    verdict: Verdict
    parity_set: ParitySet
    edges: EdgeComparison
    findings: Sequence[GraphFinding]
    speeds: Mapping[str, float]
    """Pairs per second, by the graph's file name."""
    not_made: Sequence[str]
    """File and reason, for each graph that could not be made."""


def report(bundle: Bundle, measurements: Measurements) -> dict[str, Any]:
    """Return the content of report.json."""
    parity_set, speeds = measurements.parity_set, measurements.speeds
    reference = speeds[bundle.graph.name]
    return {
        "verdict": measurements.verdict,
        "parity_set": {
            "name": parity_set.name,
            "sha256": parity_set.digest,
            "queries": len(parity_set.queries),
            "of_queries": parity_set.of,
            "pairs": len(parity_set.pairs),
        },
        "machine": {"processor": cpu().name, "cores": usable_cores()},
        "edge_pairs": _json_value(asdict(measurements.edges)),
        "variants": [
            _entry(finding, speeds.get(finding.graph.variant.file), reference, bundle.folder)
            for finding in measurements.findings
        ],
        "not_made": list(measurements.not_made),
    }


def measured_variant(finding: GraphFinding, speeds: Mapping[str, float], reference: float) -> Variant:
    """Return the manifest's entry of a graph, with parity and speed. `reference` is in pairs per second."""
    variant, speed = finding.graph.variant, speeds.get(finding.graph.variant.file)
    parity = _rounded(finding.drift.tau) if finding.drift else None
    return variant.model_copy(update={"parity": parity, "speed": _rounded(speed / reference) if speed else None})


def _entry(finding: GraphFinding, speed: float | None, reference: float, folder: Path) -> dict[str, Any]:
    graph, variant = finding.graph, finding.graph.variant
    differences = asdict(finding.drift) if finding.drift else {}
    differences.pop("worst", None)
    entry = {
        "file": variant.file,
        "precision": variant.precision,
        "weights": variant.weights,
        "provider": variant.provider,
        "layout": variant.layout,
        "own_bytes": sum(_size(folder / name) for name in (variant.file, f"{variant.file}.data")),
        "verdict": finding.verdict,
        "beyond_tolerance": list(finding.beyond),
        "computed_by": finding.engine,
        "tolerance": asdict(finding.tolerance),
        "from_torch": differences,
        "worst_pair": asdict(finding.worst) if finding.worst else None,
        "invariance": asdict(finding.invariance) if finding.invariance else None,
        "pairs_per_second": speed,
        "times_reference": speed / reference if speed else None,
        "products_in_8_bits": graph.int8_products or None,
        "products_left_out": list(graph.left_out),
    }
    return {name: _json_value(value) for name, value in entry.items()}


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _json_value(value: Any) -> Any:
    """Round floats to four digits; NaN and infinity become null, which JSON has instead."""
    if isinstance(value, dict):
        return {name: _json_value(nested) for name, nested in value.items()}
    return _rounded(value) if isinstance(value, float) else value


def _rounded(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None
