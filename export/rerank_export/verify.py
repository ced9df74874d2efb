"""A bundle's graphs made, compared with torch, and believed or not."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rerank_export.errors import ExportFailed, one_line
from rerank_export.gate.judge import Finding, Judge
from rerank_export.gate.parity_set import ParitySet, encode
from rerank_export.gate.report import Verdict, measured, report
from rerank_export.gate.tolerance import EDGES, EDGES_ROUNDED
from rerank_export.parity import PAIRS, Parity, compare
from rerank_export.scoring import Scoring
from rerank_export.sensitive import Sensitivity
from rerank_export.source import Source
from rerank_export.torch_model import TorchModel
from rerank_export.variants import FP16, FP32, INT8, Made, fp16_graphs, int8_attempts
from rerank_service.errors import excerpt
from rerank_service.models.bundle import Bundle, Manifest
from rerank_service.models.tuning.background import DOCUMENT_TOKENS, QUERIES
from rerank_service.quantities import counted

QUERIES_VARIABLE = "RERANK_PARITY_QUERIES"
"""How many queries of the parity set are scored where the caller does not say."""
_KEPT = "No bundle was written (--allow-drift keeps it)"


def _queries() -> int | None:
    said = os.environ.get(QUERIES_VARIABLE, "")
    if said and not (said.isdecimal() and int(said)):
        raise ExportFailed(f"{QUERIES_VARIABLE} {said!r} is no number of queries, from 1 on")
    return int(said) if said else None


@dataclass(frozen=True, slots=True)
class Checks:
    """How a bundle is compared with its source."""

    parity: Path | None = None
    """The user's own parity set; None: the built-in one."""
    queries: int | None = field(default_factory=_queries)
    """Of it; None: all."""
    allow_drift: bool = False
    """Keep, and mark, a bundle whose scores are outside the tolerance."""


@dataclass(frozen=True, slots=True)
class Verified:
    """A bundle's graphs, and what was found of them."""

    manifest: Manifest
    edges: Parity
    """Of the built-in pairs at the edges of what a model takes."""
    findings: tuple[Finding, ...]
    report: dict[str, Any]


def verify(
    bundle: Bundle,
    source: Source,
    scoring: Scoring,
    precisions: frozenset[str],
    parity_set: ParitySet,
    *,
    rounded: bool,
    allow_drift: bool,
) -> Verified:
    """Compare the reference graph, and make and compare the others. The reference's weights may be `rounded`. With
    `allow_drift` a graph that scores otherwise is kept, and marked.

    Raises:
        ExportFailed: one of them cannot be made, or scores otherwise and drift is not allowed.
    """
    reference = Made(bundle.manifest.variants[0])
    with _scorable(bundle, source):
        model = TorchModel(source, scoring, bundle.manifest.max_tokens)
        edges = compare(bundle, model, EDGES_ROUNDED if rounded else EDGES)
        _stop_unless(edges.holds or allow_drift, source, _told_of_edges(edges))
        judge = Judge(bundle, model, parity_set)
        del model  # of a large one, gigabytes
        findings = [judge.find(reference, rounded=rounded)]
        _stop_unless(not findings[-1].beyond or allow_drift, source, _told(findings[-1]))
        if INT8 in precisions:
            findings.append(_int8(judge, allow_drift=allow_drift))
            _stop_unless(not findings[-1].beyond or allow_drift, source, _told(findings[-1]))
        made, missing = fp16_graphs(bundle) if FP16 in precisions else ([], [])
        for one in made:
            findings.append(judge.find(one, rounded=True))
            _stop_unless(not findings[-1].beyond or allow_drift, source, _told(findings[-1]))
        speeds = judge.speeds(findings)
    verdict: Verdict = "passed" if edges.holds and not any(one.beyond for one in findings) else "drift allowed"
    variants = tuple(measured(one, speeds, speeds[bundle.graph.name]) for one in findings)
    manifest = bundle.manifest.model_copy(update={"variants": variants, "verdict": verdict})
    told = report(verdict, judge.parity_set, edges, findings, speeds, bundle, missing)
    return Verified(manifest, edges, tuple(findings), told)


def _int8(judge: Judge, *, allow_drift: bool) -> Finding:
    """The int8 graph with as much in 8 bits as passes; with all, where none does and drift is allowed."""
    queries = judge.parity_set.queries[:QUERIES]
    sample = [encode(query, judge.tokenizer, document_tokens=DOCUMENT_TOKENS) for query in queries]
    sensitivity = Sensitivity(judge.bundle, sample)
    for made in int8_attempts(judge.bundle, sensitivity.candidates()):
        finding = judge.find(made, rounded=True)
        if not finding.beyond:
            return finding
    if allow_drift:
        return judge.find(next(int8_attempts(judge.bundle, [()])), rounded=True)
    return finding


def _stop_unless(holds: bool, source: Source, told: str) -> None:
    if not holds:
        raise ExportFailed(f"{source.id}: {told}. {_KEPT}")


def _told(finding: Finding) -> str:
    made = finding.made
    if made.variant.precision == FP32:
        what = "the exported graph does not score as the model does"
    else:
        what = f"{made.variant.file} does not score as the model does"
    if made.left_out:
        products = counted(made.products + len(made.left_out), "product")
        what += f" even with {len(made.left_out):,} of {products} left in fp32 "
        what += f"(the first of them {made.left_out[0]})"
    return f"{what}: {'; '.join(finding.beyond)}; it differs most for {finding.worst}"


def _told_of_edges(edges: Parity) -> str:
    query, document = PAIRS[edges.worst_pair]
    return (
        f"the exported graph does not score as the model does: logits differ by up to {edges.max_difference:.1e} "
        f"(“{query}” with “{excerpt(document)}”), and by {edges.max_batch_difference:.1e} with the batch; "
        f"{edges.tolerance:.0e} is allowed"
    )


@contextmanager
def _scorable(bundle: Bundle, source: Source) -> Iterator[None]:
    """Foreign errors as ours."""
    try:
        yield
    except (ExportFailed, OSError):
        raise
    except Exception as error:
        what = one_line(error).replace(f"{bundle.folder}/", "")  # a folder that is gone when this is read
        raise ExportFailed(f"{source.id} exports, but cannot be scored with: {what}") from error
