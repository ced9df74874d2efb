"""The figures of models on a GPU as tables of Markdown."""

from collections.abc import Sequence

from bench.gpu.results import GpuResult, LengthFigures
from bench.gpu.systems import AT_ITS_BEST, IN_USE
from bench.markdown import table
from bench.systems import BARE, SERVED, SERVED_REST

_SPEED_HEAD = (
    "model",
    "tokens per document",
    "gRPC",
    "REST",
    "bare engine",
    "sentence-transformers fp16, best batch",
    "its default use, fp32",
    "gRPC / its best",
    "gRPC / its default",
    "gRPC / bare",
    "busy cores",
)
_SECONDS_HEAD = ("model", "tokens per document", "gRPC", "REST", "sentence-transformers fp16", "its default use, fp32")


def page(results: Sequence[GpuResult], title: str, documents: int, clients: int) -> str:
    """Return the page."""
    lengths = [(result, length) for result in results for length in result.lengths]
    failed = [f"- {result.shape}, {slug}: {why}" for result in results for slug, why in result.failed.items()]
    parts = (
        f"# {title}",
        f"Documents per second: {clients} clients, {documents} documents per request.",
        table(_SPEED_HEAD, (_speeds(result, length) for result, length in lengths)),
        f"Milliseconds for one request of {documents} documents, nothing else running.",
        table(_SECONDS_HEAD, (_milliseconds(result, length) for result, length in lengths)),
        "\n".join(f"- {result.shape}: ready after {result.ready_seconds:.1f} s" for result in results),
        "\n".join(failed),
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def _speeds(result: GpuResult, length: LengthFigures) -> list[str]:
    speeds = length.documents_per_second
    shown = [speeds.get(system.slug) for system in (SERVED, SERVED_REST, BARE, AT_ITS_BEST, IN_USE)]
    served = speeds[SERVED.slug]
    ratios = [speeds.get(system.slug) for system in (AT_ITS_BEST, IN_USE, BARE)]
    return [
        result.shape,
        str(length.tokens),
        *(f"{speed:,.0f}" if speed else "none" for speed in shown),
        *(f"{served / other:.2f}" if other else "none" for other in ratios),
        f"{length.processors:.1f}",
    ]


def _milliseconds(result: GpuResult, length: LengthFigures) -> list[str]:
    shown = (length.seconds.get(system.slug) for system in (SERVED, SERVED_REST, AT_ITS_BEST, IN_USE))
    return [result.shape, str(length.tokens), *(f"{1000 * one:.1f}" if one else "none" for one in shown)]
