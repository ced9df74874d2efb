"""Targets, ratios, the results page and JSON, for results computed by hand."""

import json
from collections.abc import Callable
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
from bench.index_page import update_index
from bench.options import QUICK
from bench.parts import BUNDLED, PARTS, RANDOM, SERVER, Alone, Part, PartResults
from bench.peer_targets import ranks_as_well
from bench.peers import NO_LINUX_WHEEL, peers_of_bundled_model, peers_of_random_model
from bench.performance_targets import rows
from bench.pool import Loss, Record
from bench.results import Results
from bench.results_page import page
from bench.systems import SERVED, Kind, System, Use, our_systems
from bench.target_row import Row, Sense, count_goals, goals_text
from rerank_service.tools.loadtest.generator import Outcome
from rerank_service.tools.loadtest.summary import Summary, summarise
from rerank_service.tools.loadtest.target import ServerInfo, Usage

ZEN4 = Host("AMD EPYC", ("avx512_bf16", "avx512_vnni", "avx2"), 2, "3.11.7")
ICE_LAKE = Host("Intel Xeon", ("avx512_vnni", "avx2"), 2, "3.11.7")
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
    if system.cannot_run:
        return Record(system=system, failed=system.cannot_run)
    key = "bare" if system.use is Use.BARE else system.kind.value
    speed = SPEEDS.get(key, SPEEDS.get(system.peer, 10.0))
    return Record(
        system=system,
        batch=8,
        documents_per_second=[speed, speed / 2],
        ours=[90.0, 45.0],
        interactive_seconds=[0.2, 0.3],
        padding=1.04 if system.use is Use.OURS else None,
        loss=Loss(0.0, 0.0, 4),
        versions={"package": "1"},
    )


ALONE = Alone(
    beside_bulk=BesideBulk(summary(0.1), summary(0.3), summary(1.0)),
    overload=Overload((summary(1.0, 20), summary(1.0, 20)), summary(1.0, 19, refused=0.06)),
    memory=Memory(300.0, 420.0),
    cold_start=1.25,
    failed={},
)


def part_results(part: Part, host: Host, change: Callable[[Record], Record]) -> PartResults:
    """Return the results of a part, each record changed."""
    if part.model == RANDOM:
        peers = [each for each in peers_of_random_model(Path("models"), host) if each.peer in part.peers]
    else:
        peers = peers_of_bundled_model(Path("starter"))
    is_server = part.name == SERVER
    return PartResults(
        part=part,
        date="2026-01-01",
        seconds=60.0,
        served=ServerInfo("m", "fp32", "CPUExecutionProvider"),
        settings={},
        work=160,
        records=[change(record(system)) for system in [*our_systems(host), *peers]],
        levels=[LoadLevel("gRPC", clients, summary(clients / 10)) for clients in (1, 4)] if is_server else [],
        alone=ALONE if is_server else None,
    )


def results(host: Host = ZEN4, change: Callable[[Record], Record] = lambda record: record) -> Results:
    """Return the results of a benchmark with all parts."""
    return Results(host=host, options=QUICK, parts=[part_results(part, host, change) for part in PARTS])


def values(shown: list[Row]) -> dict[str, tuple[float | None, float, bool | None]]:
    """Return value, bound and whether the target is met, by figure."""
    return {row.figure: (row.value and round(row.value, 3), row.bound, row.holds) for row in shown}


def test_figures_follow_from_the_measurements() -> None:
    """The bounds are those of a processor with fast bf16 and without AMX."""
    own_code = "bundled model: served / sentence-transformers with the model's own code, as its users run it"
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
        own_code: (3.0, 2.5, True),
        "bundled model: mean relevance loss": (0.0, 0.002, True),
        "bundled model: relevance loss of the worst query": (0.0, 0.02, True),
        "p50 of a 25-document request, idle server / bare engine on the same pairs": (1.0, 1.15, True),
        "p99 of 10-document requests beside two 1,000-document clients / idle": (3.0, 4.0, True),
        "documents/s at twice the saturation load / at saturation": (0.95, 0.95, True),
        "slowest rejection at that load": (60.0, 50.0, False),
        "peak memory added by a gRPC request of 1,000 documents of 200 tokens": (120.0, 150.0, True),
        "start of the server with the bundled model until it is ready": (1.25, 2.0, True),
    }


@pytest.mark.parametrize(
    ("features", "in_use", "fp32", "bundled"),
    [
        (("amx_bf16", "amx_int8", "avx512_bf16", "avx512_vnni"), 5.0, 3.0, 5.0),
        (("avx512_vnni",), 3.0, 2.0, 3.0),
        (("avx_vnni", "avx2"), 3.0, 2.0, 3.0),
        (("avx512_bf16", "avx512_vnni"), 2.5, 2.0, 2.5),
        (("avx2",), 2.5, 2.0, 2.5),
    ],
    ids=["amx", "avx512_vnni", "avx_vnni", "fast bf16", "avx2"],
)
def test_bounds_depend_on_the_processor(features: tuple[str, ...], in_use: float, fp32: float, bundled: float) -> None:
    """Only a processor with VNNI and nothing newer has a goal for int8."""
    shown = {row.figure: row.bound for row in rows(results(replace(ICE_LAKE, features=features)))}
    assert shown["served / sentence-transformers, as its users run it"] == in_use
    assert shown["served / fastembed, fp32, best batch size"] == fp32
    (compared,) = (bound for figure, bound in shown.items() if "own code" in figure)
    assert compared == bundled
    assert ("served / sentence-transformers, best int8 setting" in shown) is (in_use == 3.0)


def test_int8_goal_compares_with_the_best_int8_setting() -> None:
    """On a processor with VNNI and nothing newer."""

    def faster(measured: Record) -> Record:
        if measured.system.name == "sentence-transformers OpenVINO dynamic 128":
            return replace(measured, documents_per_second=[60.0, 30.0])
        return measured

    shown = {row.figure: row for row in rows(results(ICE_LAKE, faster))}
    row = shown["served / sentence-transformers, best int8 setting"]
    assert (row.value, row.bound, row.holds) == (1.5, 1.2, True)
    assert row.detail == "sentence-transformers OpenVINO dynamic 128 int8"


def test_setting_that_ruins_the_ranking_is_not_counted() -> None:
    """The details name it, with its loss; the table marks it."""

    def ruined(measured: Record) -> Record:
        if measured.system.name == "sentence-transformers OpenVINO static":
            return replace(measured, documents_per_second=[300.0, 150.0], loss=Loss(0.041, 0.3, 4))
        return measured

    measured = results(change=ruined)
    shown = {row.figure: row for row in rows(measured)}
    row = shown["served / sentence-transformers, best documented CPU setting"]
    assert row.value == 3.0
    assert row.detail.endswith(
        "; not counted: sentence-transformers OpenVINO static int8 (ratio 0.30), loses 0.0410, worst query 0.300"
    )
    assert "**0.04100, 0.3000**" in page(measured, "x.png")


@pytest.mark.parametrize(
    ("theirs", "mine", "counts"),
    [
        (None, None, True),
        (Loss(0.002, 0.02, 4), Loss(0.0, 0.0, 4), True),
        (Loss(0.0021, 0.02, 4), Loss(0.0, 0.0, 4), False),
        (Loss(0.002, 0.021, 4), Loss(0.0, 0.0, 4), False),
        (Loss(0.01, 0.1, 4), Loss(0.01, 0.1, 4), True),
        (Loss(0.01, 0.11, 4), Loss(0.01, 0.1, 4), False),
        (Loss(0.01, 0.1, 4), None, False),
    ],
)
def test_setting_counts_within_the_bounds_or_if_no_worse_than_ours(
    theirs: Loss | None, mine: Loss | None, counts: bool
) -> None:
    """Random weights lose more in int8 than trained ones, for this server too."""
    assert ranks_as_well(Record(system=SERVED, loss=theirs), Record(system=SERVED, loss=mine)) is counts


def test_all_settings_that_lose_too_much_leave_no_value() -> None:
    """The details have the reasons."""

    def ruined(measured: Record) -> Record:
        return replace(measured, loss=Loss(0.5, 0.9, 4)) if measured.system.peer == "fastembed" else measured

    shown = {row.figure: row for row in rows(results(change=ruined))}
    row = shown["served / fastembed, best documented CPU setting"]
    assert row.value is None
    assert row.detail.count("not counted: fastembed") == 2


def test_ratio_is_the_median_of_the_ratios_per_round() -> None:
    """A round in which the machine was slow has no effect. A round without a peer's value is ignored."""
    ours = [90.0, 9.0, 80.0]
    assert Record(system=SERVED, ours=ours, documents_per_second=[100.0, 10.0, 100.0]).ratio == pytest.approx(0.9)
    assert Record(system=SERVED, ours=ours, documents_per_second=[45.0]).ratio == 2.0
    assert Record(system=SERVED, ours=ours).ratio is None


def test_value_equal_to_the_bound_meets_the_target() -> None:
    """For lower and for upper bounds."""
    assert Row("a", 0.9, Sense.AT_LEAST, 0.9).holds
    assert not Row("a", 0.899, Sense.AT_LEAST, 0.9).holds
    assert Row("a", 4.0, Sense.AT_MOST, 4.0).holds
    assert not Row("a", 4.001, Sense.AT_MOST, 4.0).holds


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


def test_missing_figure_has_a_reason() -> None:
    """Refused bulk clients are named, because they make their figure worthless."""
    missing: dict[str, Any] = dict.fromkeys(("overload", "memory", "cold_start"))
    refused = BesideBulk(summary(0.1), summary(0.3), summary(1.0, refused=0.1))
    failed = {name: f"no {name}" for name in missing}
    server, *others = results().parts
    alone = Alone(**missing, beside_bulk=refused, failed=failed)
    shown = rows(Results(host=ZEN4, options=QUICK, parts=[replace(server, alone=alone), *others]))
    assert [(row.value, row.detail) for row in shown[-4:]] == [
        (None, "no overload"),
        (None, "no overload"),
        (None, "no memory"),
        (None, "no cold_start"),
    ]
    assert shown[-5].detail == "300 ms and 100 ms, bulk clients: 1 RESOURCE_EXHAUSTED"


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


def test_goals_name_what_is_missed() -> None:
    """Nothing follows the counts if all goals are met."""
    met, missed = Row("a", 1.0, Sense.AT_LEAST, 0.5), Row("b", 0.1, Sense.AT_LEAST, 0.5)
    assert goals_text([met]) == "**1 met, 0 missed, 0 not measured.**"
    assert goals_text([met, missed]) == "**1 met, 1 missed, 0 not measured.**\n\n- missed: b"


@pytest.mark.parametrize("host", [ZEN4, ICE_LAKE], ids=["bf16", "vnni"])
def test_systems_have_distinct_names(host: Host) -> None:
    """Names differ in the table and in log files, and each peer that can run has an environment."""
    for peers in (peers_of_random_model(Path("models"), host), peers_of_bundled_model(Path("starter"))):
        listed = [*our_systems(host), *peers]
        assert len({(system.name, system.precision, system.use) for system in listed}) == len(listed)
        assert len({system.slug for system in listed}) == len(listed)
        assert {system.peer for system in peers if not system.cannot_run} <= set(REQUIREMENTS)
        assert next(system for system in our_systems(host) if system.kind is Kind.GRPC) is SERVED
    assert {peer for part in PARTS for peer in part.peers} == set(REQUIREMENTS) | {"flash-rerank"}
