"""Clients of a component: opened once per server and event loop, closed together, and left out of copies."""

import asyncio
import pickle

import pytest

from rerank.connections import Connections
from rerank.errors import Cancelled

ADDRESS = "127.0.0.1:1"


def test_one_client_per_server() -> None:
    """Another address or another parameter is another server."""
    connections = Connections()
    first = connections.blocking(ADDRESS, {"timeout": 1.0})
    assert connections.blocking(ADDRESS, {"timeout": 1.0}) is first
    assert connections.blocking(ADDRESS, {"timeout": 2.0}) is not first
    assert connections.blocking("127.0.0.1:2", {"timeout": 1.0}) is not first
    connections.close()
    with pytest.raises(Cancelled):
        first.models()
    assert connections.blocking(ADDRESS, {"timeout": 1.0}) is not first
    connections.close()


def test_one_client_per_event_loop() -> None:
    """That of an ended loop is forgotten."""
    connections = Connections()

    async def client() -> object:
        opened = connections.asynchronous(ADDRESS, {})
        assert connections.asynchronous(ADDRESS, {}) is opened
        return opened

    async def closed() -> None:
        opened = connections.asynchronous(ADDRESS, {})
        await connections.aclose()
        with pytest.raises(Cancelled):
            await opened.models()

    assert asyncio.run(client()) is not asyncio.run(client())
    asyncio.run(closed())


def test_a_pickled_copy_is_empty() -> None:
    """It opens connections of its own."""
    connections = Connections()
    first = connections.blocking(ADDRESS, {})
    copy = pickle.loads(pickle.dumps(connections))
    other = copy.blocking(ADDRESS, {})
    assert other is not first
    connections.close()
    copy.close()
