"""Many clients at the same time: every response equals that of the request alone."""

import asyncio
import math
import random
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from rerank.client import AsyncRerankClient
from rerank.v1 import rerank_pb2 as pb
from rerank.v1 import rerank_pb2_grpc as pb_grpc
from support.process import started
from support.small import logit

CLIENTS = 64
REQUESTS = 12


def _documents(generator: random.Random) -> list[str]:
    """Return 1 to 200 documents of 0 to 20 numbers."""
    return [
        " ".join(str(generator.randrange(10)) for _ in range(generator.randrange(21)))
        for _ in range(generator.randint(1, 200))
    ]


def _expected(documents: list[str]) -> list[tuple[int, float]]:
    """Return the ranking of the small model, computed here: index and logit, ties in input order."""
    logits = [logit(document) for document in documents]
    return [(index, logits[index]) for index in sorted(range(len(logits)), key=lambda index: -logits[index])]


async def _over_grpc(client: AsyncRerankClient, documents: list[str]) -> None:
    response = await client.rerank("0", documents)
    assert [(result.index, result.logit) for result in response.results] == _expected(documents)


async def _over_rest(client: httpx.AsyncClient, documents: list[str]) -> None:
    response = (await client.post("/v2/rerank", json={"query": "0", "documents": documents})).json()
    expected = _expected(documents)
    assert [result["index"] for result in response["results"]] == [index for index, _ in expected]
    for result, (_, logit_) in zip(response["results"], expected, strict=True):
        assert result["relevance_score"] == pytest.approx(1 / (1 + math.exp(-logit_)), abs=1e-5)


async def _cancelled(client: AsyncRerankClient, documents: list[str]) -> None:
    """Send a request, and cancel it while the server works on it, unless the answer is there."""
    stub: pb_grpc.RerankAsyncStub = pb_grpc.RerankStub(client._channel)
    call = stub.Rerank(pb.RerankRequest(query="0", documents=[pb.Document(text=text) for text in documents]))
    await client.models()  # on the same connection: the request is sent before
    if call.cancel():
        with pytest.raises(asyncio.CancelledError):
            await call


async def _slow_stream(client: AsyncRerankClient, ticks: "asyncio.Queue[str | None]") -> None:
    """Send a stream whose documents arrive one by one while other clients work."""
    sent: list[str] = []

    async def documents() -> AsyncIterator[str]:
        while (document := await ticks.get()) is not None:
            sent.append(document)
            yield document

    ranking = await client.rerank_stream("0", documents())
    assert [(result.index, result.logit) for result in ranking.results] == _expected(sent)
    assert len(sent) == CLIENTS * REQUESTS


async def _client(seed: int, address: str, url: str, ticks: "asyncio.Queue[str | None]") -> None:
    generator = random.Random(seed)
    async with AsyncRerankClient(address) as over_grpc, httpx.AsyncClient(base_url=url, timeout=120) as over_rest:
        for turn in range(REQUESTS):
            documents = _documents(generator)
            if turn % 5 == 4:
                await _cancelled(over_grpc, documents)
            elif seed % 2:
                await _over_grpc(over_grpc, documents)
            else:
                await _over_rest(over_rest, documents)
            ticks.put_nowait(str(generator.randrange(100)))


async def test_every_response_under_load_equals_the_response_alone(small_folder: Path) -> None:
    """64 clients send 12 requests each over gRPC and REST, some cancelled, beside a slow stream."""
    with started("--model", str(small_folder)) as server:
        ticks: asyncio.Queue[str | None] = asyncio.Queue()
        async with AsyncRerankClient(server.grpc) as client:
            slow = asyncio.create_task(_slow_stream(client, ticks))
            await asyncio.gather(*(_client(seed, server.grpc, server.rest, ticks) for seed in range(CLIENTS)))
            ticks.put_nowait(None)
            await slow
        server.popen.terminate()
        assert server.ended() == 0
        lines = server.log()
    assert all(line["level"] == "info" for line in lines)
    log = {line["event"]: line for line in lines}
    assert log["draining"]["live_requests"] == 0
    assert "CANCELLED" in [line["status"] for line in lines if line["event"] == "request finished"]
