"""The steps of the gate: make each graph of a bundle, compare it with PyTorch, and end the export if one fails."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rerank_export.errors import ExportFailed, one_line
from rerank_export.gate.edge_pairs import EdgeComparison, compare_edge_pairs, edge_pairs, padding_difference
from rerank_export.gate.golden_pairs import golden_pairs
from rerank_export.gate.graph_checker import GraphChecker
from rerank_export.gate.graph_finding import GraphFinding
from rerank_export.gate.parity_set import ParitySet, encode_query, left_out_line
from rerank_export.gate.report_json import Measurements, Verdict, measured_variant, report
from rerank_export.gate.tolerance import EDGES, EDGES_ROUNDED
from rerank_export.gate.torch_reference import TorchReference
from rerank_export.reporter import Reporter
from rerank_export.scoring.model_scoring import Scoring
from rerank_export.source.model_source import ModelSource
from rerank_export.variants.int8_sensitivity import SAMPLE_DOCUMENT_TOKENS, SAMPLE_QUERIES, Sensitivity
from rerank_export.variants.precisions import FP16, FP32, INT8
from rerank_export.variants.variant_graphs import BundleGraph, Fp16Graphs, fp16_graphs, int8_graphs
from rerank_service.error_text import excerpt
from rerank_service.models.bundle import Bundle
from rerank_service.models.golden_pairs import GoldenPair
from rerank_service.models.manifest import Manifest, Variant


@dataclass(frozen=True, slots=True, kw_only=True)
class GateSubject:
    """A bundle with its reference graph, and all that it is compared with."""

    bundle: Bundle
    rounded: bool
    """True if the weights of the reference graph are rounded to fp16."""
    source: ModelSource
    scoring: Scoring
    precisions: frozenset[str]
    """The precisions to make graphs for."""
    parity_set: ParitySet
    allow_drift: bool
    """Keep and mark a bundle whose scores are outside the tolerance."""
    reporter: Reporter


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedBundle:
    """A bundle whose graphs have passed, or are marked as drifted."""

    bundle: Bundle
    """The bundle with all its graphs in the manifest."""
    edges: EdgeComparison
    findings: tuple[GraphFinding, ...]
    report: dict[str, Any]
    """The content of report.json."""
    golden: tuple[GoldenPair, ...]
    """The content of golden.json. Empty if drift is allowed: the logits may depend on the batch."""

    @property
    def manifest(self) -> Manifest:
        """The manifest, with the verdict."""
        return self.bundle.manifest


def verify(subject: GateSubject) -> VerifiedBundle:
    """Compare the reference graph; make and compare the graphs of the other precisions.

    Raises:
        ExportFailed: a graph cannot be made or run, or its scores are outside the tolerance and drift is not allowed.
    """
    bundle = subject.bundle
    with library_errors_as_export_failed(subject.source, bundle.folder):
        reference = TorchReference(subject.source, subject.scoring, bundle.manifest.max_tokens)
        edges = _check_edge_pairs(subject, reference)
        checker = GraphChecker(bundle, reference, subject.parity_set, subject.reporter.progress)
        if line := left_out_line(subject.parity_set, checker.parity_set, bundle.manifest.max_tokens):
            subject.reporter.status(line)
        del reference  # frees gigabytes if the model is large
        findings = [_reference_finding(subject, checker)]
        if INT8 in subject.precisions:
            findings.append(_int8_finding(subject, checker))
        fp16 = fp16_graphs(bundle) if FP16 in subject.precisions else Fp16Graphs()
        findings += [_accepted(subject, checker.check(graph, rounded=True)) for graph in fp16.made]
        speeds = checker.speeds(findings)
    passed = edges.holds and not any(finding.beyond for finding in findings)
    measurements = Measurements(
        verdict="passed" if passed else "drift allowed",
        parity_set=checker.parity_set,
        edges=edges,
        findings=findings,
        speeds=speeds,
        not_made=fp16.not_made,
    )
    golden = golden_pairs(bundle, subject.parity_set) if passed else ()
    return _verified(bundle, measurements, golden)


def _verified(bundle: Bundle, measurements: Measurements, golden: tuple[GoldenPair, ...]) -> VerifiedBundle:
    speeds, verdict = measurements.speeds, measurements.verdict
    variants = tuple(measured_variant(finding, speeds, speeds[bundle.graph.name]) for finding in measurements.findings)
    return VerifiedBundle(
        bundle=_with_variants(bundle, variants, verdict),
        edges=measurements.edges,
        findings=tuple(measurements.findings),
        report=report(bundle, measurements),
        golden=golden,
    )


def _with_variants(bundle: Bundle, variants: tuple[Variant, ...], verdict: Verdict) -> Bundle:
    return Bundle(bundle.folder, bundle.manifest.model_copy(update={"variants": variants, "verdict": verdict}))


def _check_edge_pairs(subject: GateSubject, reference: TorchReference) -> EdgeComparison:
    edges = compare_edge_pairs(subject.bundle, reference, EDGES_ROUNDED if subject.rounded else EDGES)
    if not (edges.holds or subject.allow_drift):
        raise _failure(subject, _padding_failure(subject, reference) or _edge_failure(subject.bundle, edges))
    return edges


def _reference_finding(subject: GateSubject, checker: GraphChecker) -> GraphFinding:
    graph = BundleGraph(subject.bundle.manifest.variants[0])
    return _accepted(subject, checker.check(graph, rounded=subject.rounded))


def _int8_finding(subject: GateSubject, checker: GraphChecker) -> GraphFinding:
    """Make the int8 graph with as many products in int8 as pass.

    If no candidate passes and drift is allowed, all products are in int8.
    """
    sample = [
        encode_query(query, checker.tokenizer, document_tokens=SAMPLE_DOCUMENT_TOKENS)
        for query in checker.parity_set.queries[:SAMPLE_QUERIES]
    ]
    sensitivity = Sensitivity(subject.bundle, sample, progress=subject.reporter.progress)
    for graph in int8_graphs(subject.bundle, sensitivity.candidates()):
        finding = checker.check(graph, rounded=True)
        if not finding.beyond:
            return finding
    if subject.allow_drift:
        return checker.check(next(int8_graphs(subject.bundle, [()])), rounded=True)
    return _accepted(subject, finding)


def _accepted(subject: GateSubject, finding: GraphFinding) -> GraphFinding:
    """Return a finding that does not end the export.

    Raises:
        ExportFailed: a limit is exceeded, and drift is not allowed.
    """
    if finding.beyond and not subject.allow_drift:
        raise _failure(subject, _graph_failure(finding))
    return finding


def _failure(subject: GateSubject, reason: str) -> ExportFailed:
    return ExportFailed(f"{subject.source.id}: {reason}. No bundle was written (--allow-drift keeps it)")


def _graph_failure(finding: GraphFinding) -> str:
    graph = finding.graph
    name = "the exported graph" if graph.variant.precision == FP32 else graph.variant.file
    extent = ""
    if graph.left_out:
        total = graph.int8_products + len(graph.left_out)
        extent = f", even with {len(graph.left_out)} of {total} products left in fp32 (first: {graph.left_out[0]})"
    return f"{name} scores differently from the model{extent}: {'; '.join(finding.beyond)}; worst pair: {finding.worst}"


def _padding_failure(subject: GateSubject, reference: TorchReference) -> str:
    """Return the reason if the model itself scores a padded pair differently; otherwise an empty text."""
    difference = padding_difference(subject.bundle, reference)
    if difference <= EDGES:
        return ""
    return (
        "the model's own score depends on padding: logits of transformers differ by up to "
        f"{difference:.1e} if a pair is padded, as it is in a batch with longer ones"
    )


def _edge_failure(bundle: Bundle, edges: EdgeComparison) -> str:
    query, document = edge_pairs(bundle.manifest.max_tokens)[edges.worst_pair]
    return (
        f"the exported graph scores differently from the model: logits differ by up to {edges.max_difference:.1e} "
        f"(“{query}” with “{excerpt(document)}”), and by {edges.max_batch_difference:.1e} with the batch "
        f"(allowed: {edges.tolerance:.0e})"
    )


@contextmanager
def library_errors_as_export_failed(source: ModelSource, folder: Path) -> Iterator[None]:
    """Raise errors of the libraries as ExportFailed, without the path of `folder`."""
    try:
        yield
    except (ExportFailed, OSError):
        raise
    except Exception as error:
        message = one_line(error).replace(f"{folder}/", "")  # the work folder is removed before this is read
        raise ExportFailed(f"{source.id} was exported, but its graph cannot score pairs: {message}") from error
