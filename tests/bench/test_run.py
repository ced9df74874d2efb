"""Flow of a part without peers, on the small test model."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.host import host_of
from bench.model_folders import BUNDLE
from bench.options import Options
from bench.parts import PARTS, PartFiles
from bench.pool import Loss, SystemPool
from bench.results import Results
from bench.results_page import page
from bench.run import Run
from bench.systems import REFERENCE, SERVED, our_systems
from support.child_processes import children
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
    parity_queries=1,
    level_clients=(1, 2),
    level_seconds=0.05,
    probes=3,
    bulk_documents=50,
    overload_seconds=0.1,
    memory_documents=100,
    memory_tokens=10,
    cold_starts=1,
)


def test_server_part_measures_every_figure_and_leaves_no_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This server ranks alike over both protocols.

    An engine that does not start is a line of the table, with the server's reason.
    """
    before = children()
    broken = replace(REFERENCE, precision="none", arguments=("--provider", "openvino", "--precision", "fp16"))
    monkeypatch.setattr("bench.run.our_systems", lambda host: [*our_systems(host)[:3], broken])
    monkeypatch.setattr("bench.comparison.REFERENCE", SERVED)
    write_small_model(tmp_path / "models" / BUNDLE)
    host = host_of("", 2)
    lines: list[str] = []
    run = Run(host, tmp_path / "models", None, tmp_path / "logs")
    results = run.results(PARTS[0], SystemPool(TINY, lines.append))
    (cannot,) = (record for record in results.records if record.system == broken)
    assert "--provider openvino --precision fp16 does not work here" in (cannot.failed or "")
    results.records.remove(cannot)
    assert [record.failed for record in results.records] == [None] * 3
    assert [len(record.documents_per_second) for record in results.records] == [2] * 3
    assert [len(record.interactive_seconds) for record in results.records] == [2] * 3
    losses = [record.loss for record in results.records]
    assert losses[:2] == [Loss(0.0, 0.0, 1)] * 2
    assert losses[2] is not None  # the small model reads few tokens: the server splits documents, the bare engine cuts
    assert results.records[0].ratio == 1.0
    assert [level.clients for level in results.levels] == [1, 1, 2, 2]
    alone = results.alone
    assert alone is not None
    assert alone.failed == {}
    assert alone.beside_bulk is not None
    assert alone.beside_bulk.busy.answered == TINY.probes
    assert alone.overload is not None
    assert alone.overload.overload.answered > 0
    assert (results.served.precision, results.served.provider) == ("fp32", "CPUExecutionProvider")
    files = PartFiles(tmp_path / "parts", host, TINY, {})
    files.store(results)
    assert files.load(PARTS[0]) == results
    assert "fp32 on CPUExecutionProvider" in page(Results(host=host, options=TINY, parts=[results]), "chart.png")
    assert children() <= before
