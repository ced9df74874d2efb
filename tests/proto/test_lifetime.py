"""Calls of clients that are closed, or that another thread or task closes."""

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from rerank.client import AsyncRerankClient, RerankClient
from rerank.errors import Cancelled
from support.running import Served
from support.scripted import Reply, scripted

LATER = Reply(grpc.StatusCode.RESOURCE_EXHAUSTED, retry_after=50.0)
CLOSED = "the client is closed: create a new one"


def test_calls_of_a_closed_client_are_cancelled() -> None:
    """Every method."""
    client = RerankClient("127.0.0.1:9")
    client.close()
    for call in (
        lambda: client.rerank("q", ["d"]),
        lambda: client.rerank_stream("q", ["d"]),
        lambda: next(client.scores("q", ["d"])),
        client.models,
    ):
        with pytest.raises(Cancelled, match=CLOSED):
            call()


async def test_asynchronous_calls_of_a_closed_client_are_cancelled() -> None:
    """Every method."""
    client = AsyncRerankClient("127.0.0.1:9")
    await client.close()
    scores = client.scores("q", ["d"])
    for call in (client.rerank("q", ["d"]), client.rerank_stream("q", ["d"]), anext(scores), client.models()):
        with pytest.raises(Cancelled, match=CLOSED):
            await call


@pytest.mark.parametrize("method", ["rerank", "rerank_stream"])
async def test_closing_ends_a_pause(method: str) -> None:
    """Of a call that waits for its repetition, by both clients, at once."""
    with scripted(LATER, LATER) as server:
        client, other = RerankClient(server.address, timeout=90), AsyncRerankClient(server.address, timeout=90)
        pausing = [
            asyncio.create_task(asyncio.to_thread(getattr(client, method), "q", ["d"])),
            asyncio.create_task(getattr(other, method)("q", ["d"])),
        ]
        while len(server.calls) < 2:
            await asyncio.sleep(0.01)
        client.close()
        await other.close()
        for call in pausing:
            with pytest.raises(Cancelled):
                await call


async def test_closing_ends_running_streams_with_an_error(edges: Served) -> None:
    """With a `Cancelled`, and not with the CancelledError of a task that nobody cancelled."""
    started, release = asyncio.Event(), threading.Event()

    async def documents() -> AsyncIterator[str]:
        yield "1"
        started.set()
        await asyncio.Event().wait()

    def blocked() -> Any:
        yield "1"
        release.wait()

    client, other = RerankClient(edges.address), AsyncRerankClient(edges.address)
    running = asyncio.create_task(other.rerank_stream("0", documents()))
    blocking = asyncio.create_task(asyncio.to_thread(client.rerank_stream, "0", blocked()))
    await started.wait()
    await other.close()
    client.close()
    for call in (running, blocking):
        with pytest.raises(Cancelled):
            await call
    release.set()


async def test_a_cancelled_task_stays_cancelled(edges: Served) -> None:
    """Also if its client is closed at the same time."""
    started = asyncio.Event()

    async def documents() -> AsyncIterator[str]:
        yield "1"
        started.set()
        await asyncio.Event().wait()

    client = AsyncRerankClient(edges.address)
    running = asyncio.create_task(client.rerank_stream("0", documents()))
    await started.wait()
    running.cancel()
    await client.close()
    with pytest.raises(asyncio.CancelledError):
        await running
