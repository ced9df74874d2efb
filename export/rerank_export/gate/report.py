"""report.json: what was compared, on what, and what came of it. It has no date, and no path of the machine."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from rerank_export.gate.judge import Finding
from rerank_export.gate.parity_set import ParitySet
from rerank_export.parity import Parity
from rerank_service.engine.host import cpu, usable_cores
from rerank_service.models.bundle import Bundle, Variant

Verdict = Literal["passed", "drift allowed"]


def report(
    verdict: Verdict,
    parity_set: ParitySet,
    edges: Parity,
    findings: Sequence[Finding],
    speeds: Mapping[str, float],
    bundle: Bundle,
    missing: Sequence[str],
) -> dict[str, Any]:
    """All of it, as JSON has it. `speeds` are pairs a second by file; `missing` says what could not be made."""
    reference = speeds[bundle.graph.name]
    return {
        "verdict": verdict,
        "parity_set": {
            "name": parity_set.name,
            "sha256": parity_set.digest,
            "queries": len(parity_set.queries),
            "of_queries": parity_set.of,
            "pairs": len(parity_set.pairs),
        },
        "machine": {"processor": cpu().name, "cores": usable_cores()},
        "edge_pairs": _plain(asdict(edges)),
        "variants": [_found(one, speeds.get(one.made.variant.file), reference, bundle.folder) for one in findings],
        "not_made": list(missing),
    }


def measured(finding: Finding, speeds: Mapping[str, float], reference: float) -> Variant:
    """A manifest's entry, with what the report says."""
    variant, speed = finding.made.variant, speeds.get(finding.made.variant.file)
    parity = _short(finding.drift.tau) if finding.drift else None
    return variant.model_copy(update={"parity": parity, "speed": _short(speed / reference) if speed else None})


def _found(finding: Finding, speed: float | None, reference: float, folder: Path) -> dict[str, Any]:
    made, variant = finding.made, finding.made.variant
    compared = asdict(finding.drift) if finding.drift else {}
    compared.pop("worst", None)
    said = {
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
        "from_torch": compared,
        "worst_pair": asdict(finding.worst) if finding.worst else None,
        "invariance": asdict(finding.invariance) if finding.invariance else None,
        "pairs_per_second": speed,
        "times_reference": speed / reference if speed else None,
        "products_in_8_bits": made.products or None,
        "products_left_out": list(made.left_out),
    }
    return {name: _plain(value) for name, value in said.items()}


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _plain(value: Any) -> Any:
    """Numbers short, and without what JSON has not."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    return _short(value) if isinstance(value, float) else value


def _short(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None
