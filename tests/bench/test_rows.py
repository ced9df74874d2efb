"""Rows, ratios and the page, of results that are reckoned by hand."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.contestants import Contestant, Kind, Use, contestants
from bench.environments import REQUIREMENTS
from bench.field import Record
from bench.figures.beside_bulk import BesideBulk
from bench.figures.levels import LoadLevel
from bench.figures.memory import Memory
from bench.figures.overload import Overload
from bench.host import Host
from bench.options import QUICK
from bench.picture import draw
from bench.results import Results
from bench.rows import Row, Sense, ratio, rows
from bench.table import page
from rerank_service.tools.loadtest.generator import Outcome
from rerank_service.tools.loadtest.summary import Summary, summarise
from rerank_service.tools.loadtest.target import Answer, Served

HOST = Host("Zeno 1", ("avx512_vnni", "avx2"), 2, "3.11.7")
SPEEDS = {"gRPC": 90.0, "REST": 80.0, "bare": 100.0, "sentence-transformers": 30.0, "infinity": 20.0}
"""Documents a second; of others half of the former."""


def summary(seconds: float, documents: int = 10, refused: float = 0.0) -> Summary:
    """One call that took so long, and maybe one that was refused."""
    outcomes = [Outcome(0.0, seconds, documents, Answer(100, 104))]
    if refused:
        outcomes.append(Outcome(0.0, refused, documents, error="RESOURCE_EXHAUSTED", message="later", refused=True))
    return summarise(outcomes)


def record(contestant: Contestant) -> Record:
    """Of a contestant that ran, or of one that did not."""
    if contestant.peer == "flashrank":
        return Record(contestant, failed="no wheel | for this Python")
    key = "bare" if contestant.use is Use.BARE else contestant.kind.value
    speed = SPEEDS.get(key, SPEEDS.get(contestant.peer, 10.0))
    padding = 1.04 if contestant.use is Use.OURS else None
    return Record(contestant, 8, [speed, speed / 2], [0.2, 0.3], padding, 0.0, versions={"package": "1"})


def results(host: Host = HOST) -> Results:
    """A run of all contestants."""
    return Results(
        date="2026-01-01",
        host=host,
        options=QUICK,
        served=Served("m", "fp32", "CPUExecutionProvider"),
        settings={},
        work=160,
        records=[record(contestant) for contestant in contestants(Path("models"), host)],
        levels=[LoadLevel("rerank-service over gRPC", clients, summary(clients / 10)) for clients in (1, 4)],
        beside_bulk=BesideBulk(summary(0.1), summary(0.3), summary(1.0)),
        overload=Overload((summary(1.0, 20), summary(1.0, 20)), summary(1.0, 19, refused=0.06)),
        memory=Memory(300.0, 420.0),
        cold_start=1.25,
        failed={},
    )


def values(found: list[Row]) -> dict[str, tuple[float | None, float, bool | None]]:
    """Value, bound and whether it holds, by the figure's first words."""
    return {row.figure: (row.value and round(row.value, 3), row.bound, row.holds) for row in found}


def test_each_figure_is_what_the_measurements_make_it() -> None:
    """With the bounds of a processor without AMX."""
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


def test_more_is_demanded_where_the_processor_has_amx() -> None:
    """Of the four comparisons at the same precision."""
    bounds = [row.bound for row in rows(results(replace(HOST, features=("amx_bf16",))))[2:6]]
    assert bounds == [5.0, 5.0, 3.0, 3.0]


def test_a_ratio_is_the_median_of_the_rounds_own() -> None:
    """A round in which the machine was slow for all changes nothing; one that a peer lacks does not count."""
    one, two = (record(contestants(Path(), HOST)[at]) for at in (0, 2))
    ours = replace(one, documents_per_second=[90.0, 9.0, 80.0])
    assert ratio(ours, replace(two, documents_per_second=[100.0, 10.0, 100.0])) == pytest.approx(0.9)
    assert ratio(ours, replace(two, documents_per_second=[45.0])) == 2.0
    assert ratio(ours, replace(two, documents_per_second=[])) is None


def test_the_bound_itself_is_kept() -> None:
    """On both sides."""
    assert Row("a", 0.9, Sense.AT_LEAST, 0.9).holds
    assert not Row("a", 0.899, Sense.AT_LEAST, 0.9).holds
    assert Row("a", 4.0, Sense.AT_MOST, 4.0).holds
    assert not Row("a", 4.001, Sense.AT_MOST, 4.0).holds


def test_the_page_shows_bounds_the_variant_and_why_a_peer_is_missing() -> None:
    """And what would end a cell does not."""
    shown = page(results(), "zeno.png")
    assert "| slowest rejection at that load | **60 ms** | ≤ 50 ms | NO | 1 RESOURCE_EXHAUSTED |" in shown
    assert "served engine: fp32 on CPUExecutionProvider" in shown
    assert "features: avx512_vnni, avx2" in shown
    assert "did not run: no wheel \\| for this Python" in shown
    assert "![throughput and latency](zeno.png)" in shown
    columns = {line.replace("\\|", "").count("|") for line in shown.splitlines() if line.startswith("| rerank-service")}
    assert columns == {9}


def test_a_figure_that_could_not_be_taken_says_why() -> None:
    """And company that was refused, which makes the figure of it worth nothing, is named."""
    nothing: dict[str, Any] = dict.fromkeys(("overload", "memory", "cold_start"))
    refused = BesideBulk(summary(0.1), summary(0.3), summary(1.0, refused=0.1))
    failed = {name: f"no {name}" for name in nothing}
    found = rows(replace(results(), **nothing, beside_bulk=refused, failed=failed))
    assert [(row.value, row.detail) for row in found[-4:]] == [
        (None, "no overload"),
        (None, "no overload"),
        (None, "no memory"),
        (None, "no cold_start"),
    ]
    assert found[-5].detail == "300 ms and 100 ms, bulk clients: 1 RESOURCE_EXHAUSTED"


def test_results_are_kept_whole(tmp_path: Path) -> None:
    """As JSON and as a picture."""
    kept = json.loads(json.dumps(results().as_json(), default=str))
    assert kept["records"][0]["median_documents_per_second"] == 67.5
    assert kept["beside_bulk_ratio"] == pytest.approx(3.0)
    draw(results().as_json(), tmp_path / "zeno.png")
    assert (tmp_path / "zeno.png").read_bytes().startswith(b"\x89PNG")


def test_contestants_can_be_told_apart() -> None:
    """In the table and by their logs, and each peer has an environment."""
    everybody = contestants(Path("models"), HOST)
    assert len({(one.name, one.precision, one.use) for one in everybody}) == len(everybody)
    assert len({one.slug for one in everybody if one.kind is not Kind.GRPC}) == len(everybody) - 1
    assert {one.peer for one in everybody} - {"rerank-service"} == set(REQUIREMENTS)
