"""Calls on two replicas at addresses that stay the same, of each kind and without a pause. A lost call ends them."""

import asyncio
import itertools
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from rerank.client import AsyncRerankClient
from rerank.v1 import rerank_pb2 as pb
from rerank_service.engine.kinds import Precision
from rerank_service.models.golden_check import TOLERANCE
from support.process import environment
from upgrade.recorded import CLIENT, RESPONSES
from upgrade.recorder.rest_calls import DOCUMENTS, QUERY

_TESTS = Path(__file__).parents[1]
_REPEATED = DOCUMENTS * 12
_TRIES = 8
_PAUSE = 0.2
"""Seconds before a REST request is sent again: the policy of docs/replicas.md."""
_RECONNECT = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 100)]
_LOGITS = {result.get("index", 0): result["logit"] for result in RESPONSES["grpc"]["texts"]["response"]["results"]}


@dataclass(frozen=True, slots=True)
class Addresses:
    """Addresses of the replicas, `HOST:PORT` for gRPC and URLs for REST."""

    grpc: Sequence[str]
    rest: Sequence[str]

    @property
    def target(self) -> str:
        """The address of all replicas for gRPC clients."""
        return f"ipv4:{','.join(self.grpc)}"


@dataclass(slots=True)
class Answers:
    """Responses of running calls: for each, its kind and its model name, which names the replica."""

    queue: asyncio.Queue[tuple[str, str]] = field(default_factory=asyncio.Queue)

    async def wait_for(self, model: str, kinds: set[str]) -> None:
        """Wait until calls of each kind have got a response of a replica that has started after all earlier ones."""
        missing = set(kinds)
        while missing:
            kind, name = await self.queue.get()
            if name == model:
                missing.discard(kind)


def _check(logits: dict[int, float]) -> None:
    """Check that a ranking is complete, and that each score is the one that a single replica has given alone."""
    expected = {index: _LOGITS[index % len(DOCUMENTS)] for index in range(len(_REPEATED))}
    assert logits == pytest.approx(expected, abs=TOLERANCE[Precision.FP32])


def _check_message(response: pb.RerankResponse) -> str:
    _check({result.index: result.logit for result in response.results})
    return response.model


async def _unary(client: AsyncRerankClient) -> str:
    return _check_message(await client.rerank(QUERY, _REPEATED))


async def _stream(client: AsyncRerankClient) -> str:
    """Documents from a list, because the client cannot repeat a call with an iterator that it has read."""
    return _check_message(await client.rerank_stream(QUERY, _REPEATED))


async def _rest(client: httpx.AsyncClient, urls: Sequence[str], first: int) -> str:
    """Send a request to one replica. If that one ends, drains or loads, send it to the next one, as a proxy does."""
    body = {"query": QUERY, "documents": _REPEATED, "raw_scores": True}
    for number in range(first, first + _TRIES):
        response: httpx.Response | None
        try:
            response = await client.post(f"{urls[number % len(urls)]}/v1/rerank", json=body)
        except (httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError):
            response = None
        if response is not None and response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            ranking: dict[str, Any] = response.raise_for_status().json()
            _check({result["index"]: result["relevance_score"] for result in ranking["results"]})
            return str(ranking["model"])
        await asyncio.sleep(_PAUSE)
    raise AssertionError(f"no replica has accepted a request in {_TRIES} tries")


@asynccontextmanager
async def load(addresses: Addresses, *, old_client: bool) -> AsyncIterator[Answers]:
    """Run calls during a block, two workers of each kind: unary, streams and REST.

    With `old_client`, the Python client of 0.1.0 calls, too. It never repeats a call.
    """
    answers, stop = Answers(), asyncio.Event()

    async def repeat(kind: str, call: Any) -> None:
        for number in itertools.count():
            if stop.is_set():
                return
            answers.queue.put_nowait((kind, await call(number)))

    async with (
        AsyncRerankClient(addresses.target, timeout=60, options=_RECONNECT) as client,
        httpx.AsyncClient(timeout=60, trust_env=False) as http,
        asyncio.TaskGroup() as tasks,
    ):
        for _ in range(2):
            tasks.create_task(repeat("unary", lambda _: _unary(client)))
            tasks.create_task(repeat("stream", lambda _: _stream(client)))
            tasks.create_task(repeat("rest", lambda number: _rest(http, addresses.rest, number)))
        if old_client:
            tasks.create_task(_old_client(addresses.target, answers, stop))
        yield answers
        stop.set()


async def _old_client(target: str, answers: Answers, stop: asyncio.Event) -> None:
    """Run steady_calls.py with the client of the fixtures until `stop` is set."""
    variables = environment(PYTHONPATH=f"{CLIENT}:{_TESTS}", GRPC_VERBOSITY="NONE")
    run = [sys.executable, "-m", "upgrade.steady_calls", target]
    process = await asyncio.create_subprocess_exec(
        *run, env=variables, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        while line := await process.stdout.readline():
            answers.queue.put_nowait(("old client", line.decode().strip()))
            if stop.is_set():
                process.stdin.close()
        assert await process.wait() == 0, "the old client has lost a call: its traceback is above"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
