"""Open loop on a client that is slower than the rate. The time is that of a clock which only the client moves."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from rerank_service.cli.output.loadtest import late_lines, level_line
from rerank_service.tools.loadtest import generator
from rerank_service.tools.loadtest.generator import Amount, closed_loop, open_loop
from rerank_service.tools.loadtest.load_report import Level
from rerank_service.tools.loadtest.summary import summarise
from rerank_service.tools.loadtest.target import Client, ServerInfo, Usage
from rerank_service.tools.loadtest.workload import Lengths, Request, Workload

SMALL = Workload(documents=1, lengths=Lengths(2, 5))


@dataclass
class SlowClient:
    """A target whose calls need a time of this process, such as for JSON."""

    work: float
    """Seconds of each call."""
    now: float = 0.0

    def perf_counter(self) -> float:
        """Return the time in seconds."""
        return self.now

    async def probe(self) -> ServerInfo:
        """Return no description; see `Target.probe`."""
        return ServerInfo()

    @asynccontextmanager
    async def client(self, deadline: float | None = None) -> AsyncIterator[Client]:
        """Return a client; see `Target.client`."""
        yield self

    async def connect(self) -> None:
        """Do nothing; see `Client.connect`."""

    async def rank(self, request: Request) -> Usage:
        """Work; see `Client.rank`."""
        self.now += self.work
        return Usage()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> SlowClient:
    """A client that starts at most 100 calls per second."""
    client = SlowClient(work=0.01)
    monkeypatch.setattr(generator, "time", client)
    return client


async def test_latency_counts_from_the_time_at_which_a_call_was_due(slow: SlowClient) -> None:
    """Call number n is due after n ms, and ends after 10 * (n + 1) ms."""
    outcomes = await open_loop(slow, SMALL, rate=1000, seconds=0.02)
    assert [outcome.seconds for outcome in outcomes] == pytest.approx([0.01 + 0.009 * number for number in range(20)])
    assert summarise(outcomes).started_per_second == pytest.approx(100)


async def test_latency_of_a_closed_loop_counts_from_the_start_of_a_call(slow: SlowClient) -> None:
    """No call is due at a time."""
    outcomes = await closed_loop(slow, SMALL, Amount(requests=3), clients=1)
    assert [outcome.seconds for outcome in outcomes] == pytest.approx([0.01] * 3)


async def test_a_rate_that_is_not_reached_is_a_warning(slow: SlowClient) -> None:
    """The started rate is beside the one asked for."""
    level = Level("1000/s", None, 1000.0, summarise(await open_loop(slow, SMALL, rate=1000, seconds=0.02)))
    assert level_line(level).startswith("1000/s: 100.0/s started, ")
    [line] = late_lines([level])
    assert line.startswith("1000/s: only 100.0 calls/s started, ")


@pytest.mark.parametrize("rate", [100.0, 105.0, None])
async def test_a_level_in_time_has_no_warning(slow: SlowClient, rate: float | None) -> None:
    """A closed loop has no rate."""
    summary = summarise(await closed_loop(slow, SMALL, Amount(requests=20), clients=1))
    assert late_lines([Level("load", None, rate, summary)]) == []
