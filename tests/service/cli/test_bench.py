"""`rerank bench` with a target that records the requests."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from rerank_service import __main__ as entry
from rerank_service.tools.loadtest.target import Client, ServerInfo, Usage
from rerank_service.tools.loadtest.workload import Request


@dataclass
class Recording:
    """A target whose server answers at once."""

    requests: list[Request] = field(default_factory=list)

    async def probe(self) -> ServerInfo:
        """Return the description of the server."""
        return ServerInfo("recording")

    @asynccontextmanager
    async def client(self, deadline: float | None = None) -> AsyncIterator[Client]:
        """Return a client; see `Target.client`."""
        yield self

    async def connect(self) -> None:
        """Do nothing; see `Client.connect`."""

    async def rank(self, request: Request) -> Usage:
        """Record a request; see `Client.rank`."""
        self.requests.append(request)
        return Usage()


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> Recording:
    """The target of the command."""
    target = Recording()
    monkeypatch.setattr("rerank_service.tools.loadtest.address.target", lambda *_, **__: target)
    return target


@pytest.mark.parametrize("number", [10, 64, 70])
def test_levels_differ_by_the_queries_only(recording: Recording, number: int) -> None:
    """With other documents, they could not be compared. With the same queries, a score cache of the server would answer
    all levels after the first."""
    load = ("--clients", "1,4,16", "--requests", str(number), "--documents", "2", "--tokens", "3-5")
    assert entry._main(["bench", "--server", "127.0.0.1:1", *load]) == 0
    sent = recording.requests
    assert len(sent) == len(set(sent)) == 3 * number
    first, second, third = (
        [request.documents for request in sent[start : start + number]] for start in (0, number, 2 * number)
    )
    assert first == second == third
