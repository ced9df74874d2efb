"""Several replicas behind the typed client: a restart, a killed replica and a draining one lose no call."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc
import pytest

from rerank import _channel
from rerank.client import AsyncRerankClient, RerankClient
from support.process import Process, Start

_DOCUMENTS = [f"Paris is the capital of France, and its number {at} is {at * 7}." for at in range(60)]
_CALLS = 24
_CONCURRENT = 6
_OPTIONS = ("--lanes", "1", "--provider", "cpu")


def _target(replicas: list[Process]) -> str:
    return f"ipv4:{','.join(replica.grpc for replica in replicas)}"


@asynccontextmanager
async def _load(target: str) -> AsyncIterator[asyncio.Semaphore]:
    """Send calls while the block runs, and at least 24. Yield a semaphore that is released with each response."""
    answered, stop = asyncio.Semaphore(0), asyncio.Event()

    async def worker(client: AsyncRerankClient) -> None:
        for _ in range(_CALLS // _CONCURRENT):
            await call(client)
        while not stop.is_set():
            await call(client)

    async def call(client: AsyncRerankClient) -> None:
        response = await client.rerank("capital of France", _DOCUMENTS)
        assert len(response.results) == len(_DOCUMENTS)
        answered.release()

    async with AsyncRerankClient(target, timeout=60) as client, asyncio.TaskGroup() as tasks:
        for _ in range(_CONCURRENT):
            tasks.create_task(worker(client))
        yield answered
        stop.set()


async def test_killed_replica_loses_no_call(start: Start) -> None:
    """Calls that run on it when it is killed are sent again, to another replica."""
    replicas = [start(*_OPTIONS) for _ in range(2)]
    async with _load(_target(replicas)) as answered:
        await answered.acquire()  # then each replica has calls
        replicas[0].popen.kill()
        for _ in range(_CONCURRENT):
            await answered.acquire()


async def test_rolling_restart_loses_no_call(start: Start) -> None:
    """Each replica drains, ends and starts again on its port, one after another."""
    replicas = [start(*_OPTIONS) for _ in range(2)]
    async with _load(_target(replicas)) as answered:
        for replica in replicas:
            await answered.acquire()
            replica.popen.terminate()
            assert await asyncio.to_thread(replica.ended) == 0
            port = replica.grpc.rpartition(":")[2]
            await asyncio.to_thread(start, *_OPTIONS, "--grpc-port", port)
            await answered.acquire()


def test_large_request_can_be_retried() -> None:
    """gRPC sends only requests again that fit its buffer, by default 256 KiB."""
    options = dict(_channel.channel_options("127.0.0.1:1", ()))
    assert options["grpc.per_rpc_retry_buffer_size"] > 32 * 1024 * 1024


@pytest.mark.parametrize("method", ["Rerank", "ListModels", "GetModel"])
def test_unary_methods_are_retried(method: str) -> None:
    """A stream is not: its documents may come from a source that cannot be read again."""
    config = json.loads(dict(_channel.channel_options("127.0.0.1:1", ()))["grpc.service_config"])
    (retried,) = config["methodConfig"]
    assert {"service": "rerank.v1.Rerank", "method": method} in retried["name"]
    assert "RerankStream" not in {name["method"] for name in retried["name"]}


def test_missing_server_is_reported(start: Start) -> None:
    """After the last attempt, with the status of the connection."""
    replica = start(*_OPTIONS)
    replica.popen.kill()
    replica.ended()
    with RerankClient(replica.grpc) as client, pytest.raises(grpc.RpcError, match="UNAVAILABLE"):
        client.rerank("q", ["d"])
