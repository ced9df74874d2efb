"""Targets and ratios, for results computed by hand."""

from dataclasses import replace
from typing import Any

import pytest

from bench.figures.beside_bulk import BesideBulk
from bench.load_level import LoadLevel
from bench.models import problem_of
from bench.options import QUICK
from bench.parts import Alone
from bench.performance_targets import rows
from bench.pool import Record
from bench.results import Results
from bench.systems import SERVED
from bench.target_row import Row, Sense, goals_text
from support.benchmark_results import ICE_LAKE, ZEN4, results, summary


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
    assert (shown[-5].value, shown[-5].holds) == (None, None)
    assert shown[-5].detail == "300 ms and 100 ms, bulk clients: 1 RESOURCE_EXHAUSTED"


@pytest.mark.parametrize("refused", ["idle", "busy", "bulk"])
def test_refused_calls_leave_no_ratio_beside_bulk_clients(refused: str) -> None:
    """The other calls alone would meet the target."""
    seconds = {"idle": 0.1, "busy": 0.3, "bulk": 1.0}
    whole = BesideBulk(**{name: summary(duration) for name, duration in seconds.items()})
    assert whole.ratio == pytest.approx(3.0)
    assert replace(whole, **{refused: summary(seconds[refused], refused=0.01)}).ratio is None


@pytest.mark.parametrize(
    ("p99", "errors", "problem"),
    [
        (0.2, {}, ""),
        (0.3, {}, "the worst ratio is 3.00, at most 2"),
        (0.1, {"RESOURCE_EXHAUSTED": 2}, "calls of B failed: 2 RESOURCE_EXHAUSTED"),
    ],
)
def test_failed_calls_beside_an_overloaded_model_are_a_miss(p99: float, errors: dict[str, int], problem: str) -> None:
    """In any round of make bench-models."""
    idle = LoadLevel(0.1, 0.1, 10.0, {})
    found = problem_of([(idle, LoadLevel(0.1, p99, 10.0, errors)), (idle, idle)])
    assert found.startswith(problem)
    assert bool(found) == bool(problem)


def test_goals_name_what_is_missed() -> None:
    """Nothing follows the counts if all goals are met."""
    met, missed = Row("a", 1.0, Sense.AT_LEAST, 0.5), Row("b", 0.1, Sense.AT_LEAST, 0.5)
    assert goals_text([met]) == "**1 met, 0 missed, 0 not measured.**"
    assert goals_text([met, missed]) == "**1 met, 1 missed, 0 not measured.**\n\n- missed: b"
