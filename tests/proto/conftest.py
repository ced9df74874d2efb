"""Both clients: tests with these fixtures run once with each."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from rerank.client import AsyncRerankClient, RerankClient
from support.both_clients import Call, Method, in_thread
from support.running import Served
from support.scripted import ScriptedServer


@pytest.fixture(params=["asyncio", "blocking"])
def call(request: pytest.FixtureRequest) -> Callable[..., Call]:
    """Return a function that makes a caller of one of the clients."""

    def caller(server: ScriptedServer, **options: Any) -> Call:
        async def by_asyncio(method: str, *arguments: Any, **named: Any) -> Any:
            async with AsyncRerankClient(server.address, **options) as client:
                return await getattr(client, method)(*arguments, **named)

        async def in_thread(method: str, *arguments: Any, **named: Any) -> Any:
            with RerankClient(server.address, **options) as client:
                return await asyncio.to_thread(getattr(client, method), *arguments, **named)

        return by_asyncio if request.param == "asyncio" else in_thread

    return caller


@pytest.fixture(params=["asyncio", "blocking"])
async def methods(request: pytest.FixtureRequest, edges: Served) -> AsyncIterator[tuple[Method, Method]]:
    """Return rerank and rerank_stream of each client."""
    with RerankClient(edges.address) as blocking:
        if request.param == "asyncio":
            yield edges.client.rerank, edges.client.rerank_stream
        else:
            yield in_thread(blocking.rerank), in_thread(blocking.rerank_stream)


@pytest.fixture
def stream(methods: tuple[Method, Method]) -> Method:
    """Return rerank_stream of each client."""
    return methods[1]
