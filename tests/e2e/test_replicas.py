"""Several replicas behind the typed client: a killed one loses no call. tests/upgrade/test_rolling.py restarts them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from rerank import _channel
from rerank.client import AsyncRerankClient, RerankClient
from rerank.errors import Unavailable
from support.process import Process, Start

_DOCUMENTS = [f"Paris is the capital of France, and its number {at} is {at * 7}." for at in range(60)]
_CALLS = 24
_CONCURRENT = 6
_OPTIONS = ("--lanes", "1", "--provider", "cpu")


def _target(replicas: list[Process]) -> str:
    return f"ipv4:{','.join(replica.grpc for replica in replicas)}"


@asynccontextmanager
async def _load(target: str) -> AsyncIterator[asyncio.Queue[str]]:
    """Send calls while the block runs, and at least 24. Yield a queue with the model name of each response."""
    answered: asyncio.Queue[str] = asyncio.Queue()
    stop = asyncio.Event()

    async def worker(client: AsyncRerankClient) -> None:
        for _ in range(_CALLS // _CONCURRENT):
            await call(client)
        while not stop.is_set():
            await call(client)

    async def call(client: AsyncRerankClient) -> None:
        response = await client.rerank("capital of France", _DOCUMENTS)
        assert len(response.results) == len(_DOCUMENTS)
        answered.put_nowait(response.model)

    reconnect = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 100)]
    async with AsyncRerankClient(target, timeout=60, options=reconnect) as client, asyncio.TaskGroup() as tasks:
        for _ in range(_CONCURRENT):
            tasks.create_task(worker(client))
        yield answered
        stop.set()


async def test_killed_replica_loses_no_call(start: Start) -> None:
    """Calls that run on it when it is killed are sent again, to another replica."""
    replicas = [start(*_OPTIONS) for _ in range(2)]
    async with _load(_target(replicas)) as answered:
        await answered.get()  # then each replica has calls
        replicas[0].popen.kill()
        for _ in range(_CONCURRENT):
            await answered.get()


def test_large_request_can_be_sent_again() -> None:
    """gRPC itself sends a request again that no server has seen, if it fits its buffer: by default 256 KiB."""
    options = dict(_channel.channel_options("127.0.0.1:1", ()))
    assert options["grpc.per_rpc_retry_buffer_size"] > 32 * 1024 * 1024


def test_grpc_does_not_repeat_failed_calls() -> None:
    """The client does (`_retries`), and both together would multiply the tries."""
    config = json.loads(dict(_channel.channel_options("127.0.0.1:1", ()))["grpc.service_config"])
    assert "methodConfig" not in config


def test_missing_server_is_reported(start: Start) -> None:
    """After the last attempt, with the status of the connection."""
    replica = start(*_OPTIONS)
    replica.popen.kill()
    replica.ended()
    with RerankClient(replica.grpc) as client, pytest.raises(Unavailable):
        client.rerank("q", ["d"])
