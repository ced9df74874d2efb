"""Targets, ratios, the results page and JSON, for results computed by hand (performance_targets, results_page)."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.chart import draw
from bench.environments import REQUIREMENTS
from bench.figures.beside_bulk import BesideBulk
from bench.figures.levels import LoadLevel
from bench.figures.memory import Memory
from bench.figures.overload import Overload
from bench.host import Host
from bench.options import QUICK
from bench.performance_targets import Row, Sense, ratio, rows
from bench.pool import Record
from bench.results import Results
from bench.results_page import page
from bench.systems import Kind, System, Use, all_systems
from rerank_service.tools.loadtest.generator import Outcome
from rerank_service.tools.loadtest.summary import Summary, summarise
from rerank_service.tools.loadtest.target import ServerInfo, Usage

HOST = Host("Zeno 1", ("avx512_vnni", "avx2"), 2, "3.11.7")
SPEEDS = {"gRPC": 90.0, "REST": 80.0, "bare": 100.0, "sentence-transformers": 30.0, "infinity": 20.0}
"""Documents per second in the first round, by kind or peer; the second round has half of it."""


def summary(seconds: float, documents: int = 10, refused: float = 0.0) -> Summary:
    """Return the summary of one call, and of a refused call if `refused` is its duration."""
    outcomes = [Outcome(begun=0.0, ended=seconds, documents=documents, usage=Usage(100, 104))]
    if refused:
        failure = Outcome(
            begun=0.0, ended=refused, documents=documents, error="RESOURCE_EXHAUSTED", message="later", refused=True
        )
        outcomes.append(failure)
    return summarise(outcomes)


def record(system: System) -> Record:
    """Return a record with fixed measurements; FlashRank did not run."""
    if system.peer == "flashrank":
        return Record(system=system, failed="no wheel | for this Python")
    key = "bare" if system.use is Use.BARE else system.kind.value
    speed = SPEEDS.get(key, SPEEDS.get(system.peer, 10.0))
    padding = 1.04 if system.use is Use.OURS else None
    return Record(
        system=system,
        batch=8,
        documents_per_second=[speed, speed / 2],
        interactive_seconds=[0.2, 0.3],
        padding=padding,
        score_difference=0.0,
        versions={"package": "1"},
    )


def results(host: Host = HOST) -> Results:
    """Return the results of a benchmark with all systems."""
    return Results(
        date="2026-01-01",
        host=host,
        options=QUICK,
        served=ServerInfo("m", "fp32", "CPUExecutionProvider"),
        settings={},
        work=160,
        records=[record(system) for system in all_systems(Path("models"), host)],
        levels=[LoadLevel("rerank-service over gRPC", clients, summary(clients / 10)) for clients in (1, 4)],
        beside_bulk=BesideBulk(summary(0.1), summary(0.3), summary(1.0)),
        overload=Overload((summary(1.0, 20), summary(1.0, 20)), summary(1.0, 19, refused=0.06)),
        memory=Memory(300.0, 420.0),
        cold_start=1.25,
        failed={},
    )


def values(shown: list[Row]) -> dict[str, tuple[float | None, float, bool | None]]:
    """Return value, bound and whether the target is met, by figure."""
    return {row.figure: (row.value and round(row.value, 3), row.bound, row.holds) for row in shown}


def test_figures_follow_from_the_measurements() -> None:
    """The bounds are those of a processor without AMX."""
    assert values(rows(results())) == {
        "served over gRPC / bare engine, documents/s": (0.9, 0.9, True),
        "computed / real tokens, mixed lengths, 16 clients": (1.04, 1.06, True),
        "served / sentence-transformers, as its users run it": (3.0, 2.5, True),
        "served / infinity, as its users run it": (4.5, 2.5, True),
        "served / fastembed, fp32, best batch size": (9.0, 2.0, True),
        "served / flashrank, fp32, best batch size": (None, 2.0, None),
        "served / sentence-transformers, best documented CPU setting": (3.0, 1.3, True),
        "served / infinity, best documented CPU setting": (4.5, 1.3, True),
        "served / fastembed, best documented CPU setting": (9.0, 1.3, True),
        "served / flashrank, best documented CPU setting": (None, 1.3, None),
        "p50 of a 25-document request, idle server / bare engine on the same pairs": (1.0, 1.15, True),
        "p99 of 10-document requests beside two 1,000-document clients / idle": (3.0, 4.0, True),
        "documents/s at twice the saturation load / at saturation": (0.95, 0.95, True),
        "slowest rejection at that load": (60.0, 50.0, False),
        "peak memory added by a gRPC request of 1,000 documents of 200 tokens": (120.0, 150.0, True),
        "start of the server with the bundled model until it is ready": (1.25, 2.0, True),
    }


def test_bounds_are_higher_with_amx() -> None:
    """The four comparisons at the same precision have higher bounds."""
    bounds = [row.bound for row in rows(results(replace(HOST, features=("amx_bf16",))))[2:6]]
    assert bounds == [5.0, 5.0, 3.0, 3.0]


def test_ratio_is_the_median_of_the_ratios_per_round() -> None:
    """A round in which the machine was slow has no effect. A round without a peer's value is ignored."""
    first, second = (record(all_systems(Path(), HOST)[at]) for at in (0, 2))
    ours = replace(first, documents_per_second=[90.0, 9.0, 80.0])
    assert ratio(ours, replace(second, documents_per_second=[100.0, 10.0, 100.0])) == pytest.approx(0.9)
    assert ratio(ours, replace(second, documents_per_second=[45.0])) == 2.0
    assert ratio(ours, replace(second, documents_per_second=[])) is None


def test_value_equal_to_the_bound_meets_the_target() -> None:
    """For lower and for upper bounds."""
    assert Row("a", 0.9, Sense.AT_LEAST, 0.9).holds
    assert not Row("a", 0.899, Sense.AT_LEAST, 0.9).holds
    assert Row("a", 4.0, Sense.AT_MOST, 4.0).holds
    assert not Row("a", 4.001, Sense.AT_MOST, 4.0).holds


def test_page_shows_targets_engine_and_missing_peers() -> None:
    """A `|` in a text does not end its table cell."""
    shown = page(results(), "zeno.png")
    assert "| slowest rejection at that load | **60 ms** | ≤ 50 ms | NO | 1 RESOURCE_EXHAUSTED |" in shown
    assert "served engine: fp32 on CPUExecutionProvider" in shown
    assert "features: avx512_vnni, avx2" in shown
    assert "did not run: no wheel \\| for this Python" in shown
    assert "![throughput and latency](zeno.png)" in shown
    columns = {line.replace("\\|", "").count("|") for line in shown.splitlines() if line.startswith("| rerank-service")}
    assert columns == {9}


def test_missing_figure_has_a_reason() -> None:
    """Refused bulk clients are named, because they make their figure worthless."""
    missing: dict[str, Any] = dict.fromkeys(("overload", "memory", "cold_start"))
    refused = BesideBulk(summary(0.1), summary(0.3), summary(1.0, refused=0.1))
    failed = {name: f"no {name}" for name in missing}
    shown = rows(replace(results(), **missing, beside_bulk=refused, failed=failed))
    assert [(row.value, row.detail) for row in shown[-4:]] == [
        (None, "no overload"),
        (None, "no overload"),
        (None, "no memory"),
        (None, "no cold_start"),
    ]
    assert shown[-5].detail == "300 ms and 100 ms, bulk clients: 1 RESOURCE_EXHAUSTED"


def test_results_are_written_as_json_and_chart(tmp_path: Path) -> None:
    """The JSON has derived values."""
    written = json.loads(json.dumps(results().as_json(), default=str))
    assert written["records"][0]["median_documents_per_second"] == 67.5
    assert written["beside_bulk_ratio"] == pytest.approx(3.0)
    draw(results().as_json(), tmp_path / "zeno.png")
    assert (tmp_path / "zeno.png").read_bytes().startswith(b"\x89PNG")


def test_systems_have_distinct_names() -> None:
    """Names differ in the table and in log files, and each peer has an environment."""
    listed = all_systems(Path("models"), HOST)
    assert len({(system.name, system.precision, system.use) for system in listed}) == len(listed)
    assert len({system.slug for system in listed if system.kind is not Kind.GRPC}) == len(listed) - 1
    assert {system.peer for system in listed} - {"rerank-service"} == set(REQUIREMENTS)
