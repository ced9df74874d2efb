"""The results page, the JSON file and the index, for results computed by hand."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench.chart import draw
from bench.index_page import update_index
from bench.options import QUICK
from bench.parts import BUNDLED, PARTS
from bench.peers import NO_LINUX_WHEEL
from bench.performance_targets import rows
from bench.results import Results
from bench.results_page import page
from bench.target_row import count_goals
from support.benchmark_results import ICE_LAKE, ZEN4, part_results, results


def test_page_shows_targets_engine_and_missing_peers() -> None:
    """A `|` in a text does not end its table cell."""
    shown = page(results(), "zeno.png")
    assert shown.startswith("# AMD: AMD EPYC, 2 cores, 2026-01-01")
    assert "**16 met, 1 missed, 2 not measured.**" in shown
    assert "- missed: slowest rejection at that load" in shown
    assert "| slowest rejection at that load | **60 ms** | ≤ 50 ms | NO | 1 RESOURCE_EXHAUSTED |" in shown
    assert "served engine: fp32 on CPUExecutionProvider" in shown
    assert "features: avx512_bf16, avx512_vnni, avx2" in shown
    assert "did not run: no wheel \\| for this Python" in shown
    assert f"did not run: {NO_LINUX_WHEEL}" in shown
    assert "![throughput and latency](zeno.png)" in shown
    columns = {line.replace("\\|", "").count("|") for line in shown.splitlines() if line.startswith("| rerank-service")}
    assert columns == {9}


def test_page_of_a_stand_in_says_what_is_hidden() -> None:
    """Its title names the kind of processor that it stands for."""
    shown = page(results(replace(ICE_LAKE, hidden=("amx_bf16", "avx512_bf16"))), "x.png")
    assert shown.startswith("# Intel without AMX: ")
    assert "**A stand-in.** The processor has amx_bf16, avx512_bf16. They were hidden" in shown


def test_missing_parts_have_no_rows() -> None:
    """A part that was measured alone has its own page."""
    (bundled,) = (part for part in PARTS if part.name == BUNDLED)
    alone = Results(host=ZEN4, options=QUICK, parts=[part_results(bundled, ZEN4, lambda record: record)])
    assert [row.figure.partition(":")[0] for row in rows(alone)] == ["bundled model"] * 3
    shown = page(alone, "x.png")
    assert "### MiniLM-L6" not in shown
    assert "## Load levels" not in shown


def test_results_are_written_as_json_chart_and_index(tmp_path: Path) -> None:
    """The JSON has derived values. The index keeps the text around it."""
    measured = results()
    written = json.loads(json.dumps(measured.as_json() | {"goals": count_goals(rows(measured))}, default=str))
    assert written["records"][0]["median_documents_per_second"] == 67.5
    assert written["bundled"][-1]["relevance_loss"] == {"mean": 0.0, "worst": 0.0, "queries": 4}
    assert written["beside_bulk_ratio"] == pytest.approx(3.0)
    draw(written, tmp_path / "zeno.png")
    assert (tmp_path / "zeno.png").read_bytes().startswith(b"\x89PNG")
    (tmp_path / "amd-2-cores.json").write_text(json.dumps(written, default=str))
    readme = tmp_path / "README.md"
    readme.write_text("before\n<!-- pages: written by make bench -->\nold\n<!-- end of pages -->\nafter\n")
    update_index(tmp_path)
    update_index(tmp_path)
    assert readme.read_text().splitlines()[0] == "before"
    assert readme.read_text().splitlines()[-1] == "after"
    line = "| AMD | [AMD EPYC](amd-2-cores.md) | 2 | 2026-01-01 | 16 met, 1 missed, 2 not measured |"
    assert readme.read_text().count(line) == 1
    assert "old" not in readme.read_text()
