"""Draw throughput and latency by load level. Needs matplotlib, from the extra `bench`."""

from collections.abc import Sequence
from pathlib import Path

from rerank_service.tools.loadtest.load_report import Level, LoadReport


def draw_load(report: LoadReport, path: Path) -> None:
    """Write a PNG with documents per second and latency in milliseconds by load level."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    title = f"{report.server}: {report.served.model} {report.served.precision}".rstrip(" :")
    figure.suptitle(title, parse_math=False)  # a name may have a $
    throughput, latency = figure.subplots(1, 2)
    labels = [level.load for level in report.levels]
    throughput.bar(labels, [level.summary.documents_per_second for level in report.levels])
    throughput.set_title("documents/s")
    for name in ("p50", "p95", "p99"):
        latency.plot(labels, _milliseconds(report.levels, name), marker="o", label=name)
    latency.set_title("latency, ms")
    latency.set_ylim(bottom=0)
    latency.legend()
    figure.savefig(path, format="png", dpi=120)


def _milliseconds(levels: Sequence[Level], name: str) -> list[float]:
    return [getattr(level.summary.latency, name) * 1000 for level in levels]
