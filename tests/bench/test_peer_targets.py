"""Comparisons with peers, for results computed by hand."""

from dataclasses import replace
from pathlib import Path

import pytest

from bench.environments import REQUIREMENTS
from bench.host import Host
from bench.parts import PARTS
from bench.peer_targets import ranks_as_well
from bench.peers import EMULATED_BF16, peers_of_bundled_model, peers_of_random_model
from bench.performance_targets import rows
from bench.pool import Loss, Record
from bench.results_page import page
from bench.systems import SERVED, Kind, our_systems
from support.benchmark_results import ICE_LAKE, ZEN4, results


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


@pytest.mark.parametrize("host", [ZEN4, ICE_LAKE], ids=["bf16", "vnni"])
def test_systems_have_distinct_names(host: Host) -> None:
    """Names differ in the table and in log files, and each peer that can run has an environment."""
    for peers in (peers_of_random_model(Path("models"), host), peers_of_bundled_model(Path("starter"), host)):
        listed = [*our_systems(host), *peers]
        assert len({(system.name, system.precision, system.use) for system in listed}) == len(listed)
        assert len({system.slug for system in listed}) == len(listed)
        assert {system.peer for system in peers if not system.cannot_run} <= set(REQUIREMENTS)
        assert next(system for system in our_systems(host) if system.kind is Kind.GRPC) is SERVED
    assert {peer for part in PARTS for peer in part.peers} == set(REQUIREMENTS) | {"flash-rerank"}


@pytest.mark.parametrize(("host", "measured"), [(ZEN4, True), (ICE_LAKE, False)], ids=["bf16", "vnni"])
def test_emulated_bf16_is_not_measured(host: Host, measured: bool) -> None:
    """It would take most of the time, and the page says why it is left out."""
    for peers in (peers_of_random_model(Path("models"), host), peers_of_bundled_model(Path("starter"), host)):
        (torch,) = (each for each in peers if each.precision == "bf16" and " torch" in each.name)
        assert torch.cannot_run == ("" if measured else EMULATED_BF16)
