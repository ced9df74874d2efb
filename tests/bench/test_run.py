"""Flow of a whole benchmark without peers, on the small test model."""

import os
from pathlib import Path

from bench.model_folders import BUNDLE
from bench.options import Options
from bench.pool import SystemPool
from bench.results_page import page
from bench.run import Run
from support.small import write_small_model

TINY = Options(
    rounds=2,
    turn_seconds=0.001,
    least_requests=4,
    documents=3,
    served_repeats=2,
    clients=2,
    budgets=(64, 128),
    interactive_documents=5,
    interactive_requests=2,
    level_clients=(1, 2),
    level_seconds=0.05,
    probes=3,
    bulk_documents=50,
    overload_seconds=0.1,
    memory_documents=100,
    memory_tokens=10,
    cold_starts=1,
)


def test_benchmark_measures_every_figure_and_leaves_no_process(tmp_path: Path) -> None:
    """This server, over both protocols, and its bare engine give the same scores."""
    write_small_model(tmp_path / "models" / BUNDLE)
    lines: list[str] = []
    results = Run(SystemPool(TINY, lines.append), tmp_path / "models", tmp_path / "logs", peers=()).results()
    assert [record.failed for record in results.records] == [None] * 3
    assert [len(record.documents_per_second) for record in results.records] == [2] * 3
    assert [len(record.interactive_seconds) for record in results.records] == [2] * 3
    assert max(record.score_difference or 0.0 for record in results.records) < 1e-6
    assert [level.clients for level in results.levels] == [1, 1, 2, 2]
    assert results.failed == {}
    assert results.beside_bulk is not None
    assert results.beside_bulk.busy.answered == TINY.probes
    assert results.overload is not None
    assert results.overload.overload.answered > 0
    assert (results.served.precision, results.served.provider) == ("fp32", "CPUExecutionProvider")
    assert "fp32 on CPUExecutionProvider" in page(results, "chart.png")
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    assert not children.exists() or not children.read_text()
