"""Figures of the parts `load` and `soak`."""

import asyncio
import json
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rerank_service.models.bundle import Bundle
from rerank_service.tools.loadtest.generator import Outcome
from support.observed import observed
from support.running import running
from torture.load.levels import rejected
from torture.load.long_turns import LongTurns
from torture.load.readings import AccessLog, Readings
from torture.load.stolen_time import StolenTime, stolen_seconds
from torture.load.traffic import mixed_requests
from torture.load.trend import problem
from torture.steady import steady_requests


def test_requests_have_mixed_sizes_and_depend_on_the_seed_only() -> None:
    """So that two runs compare."""
    first, second, other = (mixed_requests(seed).requests for seed in (1, 1, 2))
    assert first == second != other
    assert {len(request.documents) for request in first} == {1, 10, 40, 100}


@pytest.mark.parametrize(
    ("values", "grows"),
    [
        ([100 + 2 * minute for minute in range(60)], True),
        ([100 + random.Random(minute).gauss(0, 5) for minute in range(60)], False),
        ([100 + 0.01 * minute for minute in range(60)], False),
        ([100, 200, 300], False),
    ],
    ids=["a line", "noise", "below the bound", "few values"],
)
def test_growth_is_certain_and_above_its_bound(values: list[float], grows: bool) -> None:
    """A trend that may be an accident is none."""
    assert bool(problem("p99", values, 0.1)) is grows


@pytest.mark.parametrize(("percent", "found"), [(10, True), (50, True), (90, False), (300, False)])
def test_rejections_of_a_low_load_are_failures(percent: int, found: bool) -> None:
    """Near the capacity and above it, the server has to reject requests."""
    calls = [Outcome(begun=0, ended=1, documents=1, error="RESOURCE_EXHAUSTED", refused=True)]
    assert bool(rejected(calls, percent)) is found
    assert rejected([Outcome(begun=0, ended=1, documents=1)], percent) == []


def test_stolen_time_is_the_most_that_one_cpu_lost_at_once() -> None:
    """In about 100 ms, after a moment."""
    stolen = StolenTime()
    for number, values in enumerate([(0, 9), (4, 9), (4, 9), (4, 10), (4, 12), (5, 12)]):
        text = "".join(f"cpu{cpu} 1 2 3 4 5 6 7 {value} 0 0\n" for cpu, value in enumerate(values))
        stolen.readings.append((float(number), stolen_seconds(f"cpu  1 2 3 4 5 6 7 99 0 0\n{text}intr 5\n")))
    assert stolen.longest(0.0) == pytest.approx(0.04)
    assert stolen.longest(1.0) == pytest.approx(0.03)
    assert stolen.longest(5.0) == 0.0


def test_turns_count_against_the_server_unless_the_hypervisor_took_its_cpu() -> None:
    """Turns with more than 50 ms of CPU time always do."""
    none, long, computed = (Readings(turns, cpu, 0, 0) for turns, cpu in ((0, 0), (1, 0), (2, 1)))
    turns = LongTurns()
    turns.add(none, 0.0)
    turns.add(long, 0.04)
    assert turns.problems() == []
    turns.add(computed, 0.04)
    turns.add(long, 0.0)
    assert turns.problems() == ["3 turns of the event loop took more than 50 ms, 1 by CPU time"]
    assert list(turns.facts().values()) == [4, 1, 1]


def test_access_log_is_read_as_it_grows(tmp_path: Path) -> None:
    """Lines of other events and half a line are left out."""
    path = tmp_path / "log"
    finished = {"event": "request finished", "status": 200, "documents": 1, "total_ms": 1500.0, "inference_ms": 20.0}
    path.write_text(json.dumps(finished) + "\n")
    log = AccessLog(path)
    line = json.dumps(finished | {"status": "OK"})
    with path.open("a") as file:
        file.write(json.dumps({"event": "ready"}) + "\n" + line[:10])
    assert log.ended() == []
    with path.open("a") as file:
        file.write(line[10:] + "\n")
    (ended,) = log.ended()
    assert (ended.status, ended.documents, ended.seconds, ended.inference_seconds) == ("OK", 1, 1.5, 0.02)


@pytest.mark.parametrize("overloads", [True, False])
async def test_only_a_part_that_overloads_may_have_requests_rejected(small_model: Bundle, overloads: bool) -> None:
    """The requests are those that the campaign sends beside each part."""
    async with running(small_model, max_live_documents=1) as core, observed(core) as (edges, recorder):
        core.score.hold()
        first = asyncio.create_task(edges.client.rerank("0", ["1"]))
        await core.score.started()
        server: Any = SimpleNamespace(grpc=edges.address, known=[])
        async with steady_requests(server, may_be_rejected=overloads) as steady:
            for _ in range(2):  # the client has read the first response when it sends the second request
                assert (await recorder.next()).status == "RESOURCE_EXHAUSTED"
            assert steady.correct == 0
            assert bool(steady.problems) is not overloads
        core.score.release()
        await first
