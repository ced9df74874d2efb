"""Load on real servers: ours over both protocols, one that speaks TEI's JSON, and those that do not answer."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rerank_service.api.auth import Keys
from rerank_service.models.bundle import Bundle
from rerank_service.tools.loadtest.address import target
from rerank_service.tools.loadtest.errors import LoadFailed
from rerank_service.tools.loadtest.generator import Amount, Outcome, arriving, closed
from rerank_service.tools.loadtest.summary import summarise
from rerank_service.tools.loadtest.target import Target
from rerank_service.tools.loadtest.workload import Lengths, Workload
from rerank_service.tools.server_address import server_address
from support.http import listening
from support.running import Running, Served, running, served

SMALL = Workload(documents=3, lengths=Lengths(2, 5), query_lengths=Lengths(1, 2))


def _target(address: str, *, model: str = "", api_key: str | None = None) -> Target:
    return target(server_address(address), model=model, api_key=api_key)


def addresses(edges: Served) -> list[str]:
    """Of our server, over gRPC and over REST."""
    return [f"grpc://{edges.address}", str(edges.http.base_url)]


async def test_clients_ask_one_after_another_until_it_is_enough(edges: Served) -> None:
    """Over both protocols, with as many connections as clients, and each request once."""
    for address in addresses(edges):
        server = _target(address)
        assert (await server.probe()).model == "small"
        heard: list[Outcome] = []
        outcomes = await closed(server, SMALL, Amount(requests=7), clients=3, on_outcome=heard.append)
        assert outcomes == heard
        summary = summarise(outcomes)
        assert (summary.requests, summary.answered, summary.documents, summary.errors) == (7, 7, 21, {})
        assert summary.tokens > 0


async def test_arrivals_wait_for_nobody(edges: Served) -> None:
    """As many as rate times seconds, though none is answered before the last has come."""
    for address in addresses(edges):
        edges.core.score.hold()
        load = asyncio.create_task(arriving(_target(address), SMALL, rate=200, seconds=0.05))
        while edges.core.admission.live_requests < 10:
            await asyncio.sleep(0)
        edges.core.score.release()
        assert summarise(await load).answered == 10


async def test_a_call_that_is_late_is_counted_as_that(edges: Served) -> None:
    """Over both protocols by the same kind, and it is no refusal."""
    for address in addresses(edges):
        edges.core.score.hold()
        outcomes = await closed(_target(address), SMALL, Amount(requests=1), clients=1, deadline=0.05)
        edges.core.score.release()
        summary = summarise(outcomes)
        assert (summary.answered, summary.errors) == (0, {"no answer in time": 1})
        assert not summary.refusals.longest


async def test_refusals_are_counted_with_their_time(small_model: Bundle) -> None:
    """A server with room for two documents, which has some already."""
    async with running(small_model, max_live_documents=2) as core, served(core) as edges:
        core.score.hold()
        inside = asyncio.create_task(core.rank("0", "1"))
        await core.score.started()
        for address, kind in zip(addresses(edges), ("RESOURCE_EXHAUSTED", "HTTP 429"), strict=True):
            summary = summarise(await closed(_target(address), SMALL, Amount(requests=2), clients=1))
            assert summary.errors == {kind: 2}
            assert "1 document and accepts at most 2" in summary.messages[kind]
            assert summary.refusals.longest > 0
        core.score.release()
        await inside


async def test_a_server_that_goes_away_is_an_outcome(core: Running) -> None:
    """Not an exception in the midst of a run."""
    async with served(core) as edges:
        addressed = addresses(edges)
    for address, kind in zip(addressed, ("UNAVAILABLE", "no connection"), strict=True):
        assert summarise(await closed(_target(address), SMALL, Amount(requests=2), clients=2)).errors == {kind: 2}


async def test_a_probe_says_why_there_is_nothing_to_measure(core: Running) -> None:
    """No key, no server, no such model."""
    async with served(core, keys=Keys(["sesame"])) as edges:
        over_grpc, over_rest = addresses(edges)
        for address, words in ((over_grpc, "UNAUTHENTICATED"), (over_rest, "HTTP 401")):
            with pytest.raises(LoadFailed, match=words):
                await _target(address).probe()
            assert (await _target(address, api_key="sesame").probe()).model == "small"
        for address, words in ((over_grpc, "NOT_FOUND"), (over_rest, "HTTP 404")):
            with pytest.raises(LoadFailed, match=words):
                await _target(address, api_key="sesame", model="other").probe()
    for address, words in ((over_grpc, "UNAVAILABLE"), (over_rest, "no connection")):
        with pytest.raises(LoadFailed, match=words):
            await _target(address).probe()


def answering(answer: Callable[[Any], Response]) -> Route:
    """A route /rerank that makes its answer of the body."""

    async def rerank(request: HttpRequest) -> Response:
        return answer(await request.json())

    return Route("/rerank", rerank, methods=["POST"])


async def test_teis_json_is_found_out() -> None:
    """A server that knows `texts` alone, and tells of itself at /info."""

    def rank(body: Any) -> Response:
        if "texts" not in body:
            return JSONResponse({"error": "missing field `texts`"}, 422)
        return JSONResponse([{"index": index, "score": 0.5} for index in range(len(body["texts"]))])

    def info(_: HttpRequest) -> Response:
        return JSONResponse({"model_id": "BAAI/bge-reranker-base", "model_dtype": "float16"})

    async with listening(answering(rank), Route("/info", info)) as url:
        server = _target(url)
        said = await server.probe()
        assert (said.model, said.precision, said.detail) == ("BAAI/bge-reranker-base", "float16", "tei /rerank")
        assert summarise(await closed(server, SMALL, Amount(requests=2), clients=1)).answered == 2


async def test_a_server_that_answers_nonsense_does_not_count_as_fast() -> None:
    """It is refused at the probe, and counted where it begins later."""
    async with listening(answering(lambda _: JSONResponse({"results": []}))) as url:
        with pytest.raises(LoadFailed, match="wrong answer"):
            await _target(f"{url}/rerank").probe()
        summary = summarise(await closed(_target(f"{url}/rerank"), SMALL, Amount(requests=2), clients=1))
        assert summary.errors == {"wrong answer": 2}
