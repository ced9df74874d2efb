"""Load on real servers: ours over both protocols, one with TEI's JSON, and servers that fail (generator, targets)."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from rerank_service.api.auth import Keys
from rerank_service.models.bundle import Bundle
from rerank_service.tools.loadtest.address import target
from rerank_service.tools.loadtest.dialects import Dialect
from rerank_service.tools.loadtest.errors import LoadTestFailed
from rerank_service.tools.loadtest.generator import Amount, Outcome, closed_loop, open_loop
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
    """Return the addresses of our server for gRPC and for REST."""
    return [f"grpc://{edges.address}", str(edges.http.base_url)]


async def test_closed_loop_sends_the_given_number_of_requests(edges: Served) -> None:
    """Over both protocols. Each request is sent once and each outcome is reported."""
    for address in addresses(edges):
        server = _target(address)
        assert (await server.probe()).model == "small"
        reported: list[Outcome] = []
        outcomes = await closed_loop(server, SMALL, Amount(requests=7), clients=3, on_outcome=reported.append)
        assert outcomes == reported
        summary = summarise(outcomes)
        assert (summary.requests, summary.answered, summary.documents, summary.errors) == (7, 7, 21, {})
        assert summary.tokens > 0


async def test_open_loop_does_not_wait_for_responses(edges: Served) -> None:
    """It sends rate * seconds requests, though none is answered before the last arrives."""
    for address in addresses(edges):
        edges.core.score.hold()
        load = asyncio.create_task(open_loop(_target(address), SMALL, rate=200, seconds=0.05))
        while edges.core.admission.live_requests < 10:
            await asyncio.sleep(0)
        edges.core.score.release()
        assert summarise(await load).answered == 10


async def test_a_client_has_any_number_of_calls_in_flight() -> None:
    """httpx has a limit of 100 by default: later calls of an open loop would not reach the server."""
    number, arrived = 101, 0
    all_arrived = asyncio.Event()

    async def rank(_: HttpRequest) -> Response:
        nonlocal arrived
        arrived += 1
        if arrived == number:
            all_arrived.set()
        await all_arrived.wait()
        return JSONResponse({"results": [{"index": at, "relevance_score": 0.5} for at in range(SMALL.documents)]})

    async with listening(Route("/v1/rerank", rank, methods=["POST"])) as url, _target(url).client(30.0) as client:
        await asyncio.gather(*(client.rank(SMALL.request(0)) for _ in range(number)))


async def test_late_call_is_counted_as_late(edges: Served) -> None:
    """Both protocols give the same kind, and it is not a refusal."""
    for address in addresses(edges):
        edges.core.score.hold()
        outcomes = await closed_loop(_target(address), SMALL, Amount(requests=1), clients=1, deadline=0.05)
        edges.core.score.release()
        summary = summarise(outcomes)
        assert (summary.answered, summary.errors) == (0, {"no answer in time": 1})
        assert not summary.refusals.longest


async def test_refusals_are_counted_with_their_duration(small_model: Bundle) -> None:
    """The server accepts two live documents and has them already."""
    async with running(small_model, max_live_documents=2) as core, served(core) as edges:
        core.score.hold()
        live = asyncio.create_task(core.rank("0", "1"))
        await core.score.started()
        for address, kind in zip(addresses(edges), ("RESOURCE_EXHAUSTED", "HTTP 429"), strict=True):
            summary = summarise(await closed_loop(_target(address), SMALL, Amount(requests=2), clients=1))
            assert summary.errors == {kind: 2}
            assert "1 document and accepts at most 2" in summary.messages[kind]
            assert summary.refusals.longest > 0
        core.score.release()
        await live


async def test_server_that_never_answers_is_an_outcome() -> None:
    """Connecting ends at the deadline, too: a hung server does not hang the load test."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host, port = silent.getsockname()
        server = _target(f"http://{host}:{port}")
        outcomes = await closed_loop(server, SMALL, Amount(requests=1), clients=1, deadline=0.01)
        assert summarise(outcomes).errors == {"no answer in time": 1}


async def test_server_that_never_answers_is_an_outcome_without_a_deadline(
    edges: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time is bounded for connecting and for the call, over both protocols."""
    monkeypatch.setattr("rerank_service.tools.loadtest.generator._LONGEST_CALL_SECONDS", 0.05)
    edges.core.score.hold()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for address in (*addresses(edges), f"http://127.0.0.1:{silent.getsockname()[1]}"):
            summary = summarise(await closed_loop(_target(address), SMALL, Amount(requests=1), clients=1))
            assert summary.errors == {"no answer in time": 1}
            assert summary.messages == {"no answer in time": "no response after 50 ms"}
    edges.core.score.release()


async def test_probe_of_a_server_that_never_answers_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server is connected, so its address is right."""
    monkeypatch.setattr("rerank_service.tools.loadtest.http_target._PROBE_SECONDS", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host, port = silent.getsockname()
        with pytest.raises(LoadTestFailed, match=rf":{port}/: no answer in time: no response after 10 ms$"):
            await _target(f"http://{host}:{port}").probe()


async def test_stopped_server_is_an_outcome(core: Running) -> None:
    """The load test counts it and does not raise."""
    async with served(core) as edges:
        addressed = addresses(edges)
    for address, kind in zip(addressed, ("UNAVAILABLE", "no connection"), strict=True):
        assert summarise(await closed_loop(_target(address), SMALL, Amount(requests=2), clients=2)).errors == {kind: 2}


async def test_failed_probe_gives_the_reason(core: Running) -> None:
    """A missing key, an unknown model, and no server."""
    async with served(core, keys=Keys(["sesame"])) as edges:
        over_grpc, over_rest = addresses(edges)
        for address, words in ((over_grpc, "UNAUTHENTICATED"), (over_rest, "HTTP 401")):
            with pytest.raises(LoadTestFailed, match=words):
                await _target(address).probe()
            assert (await _target(address, api_key="sesame").probe()).model == "small"
        for address, words in ((over_grpc, "NOT_FOUND"), (over_rest, "HTTP 404")):
            with pytest.raises(LoadTestFailed, match=words):
                await _target(address, api_key="sesame", model="other").probe()
    for address, words in ((over_grpc, "UNAVAILABLE"), (over_rest, "no connection")):
        with pytest.raises(LoadTestFailed, match=words):
            await _target(address).probe()


@pytest.mark.parametrize(
    ("path", "dialect", "detail"),
    [
        ("", Dialect.TEI, "tei /rerank"),
        ("/rerank", Dialect.TEI, "tei /rerank"),
        ("", Dialect.COHERE, "cohere /v1/rerank"),
        ("/v1", None, "cohere /v1/rerank"),
        ("/v1/rerank", Dialect.COHERE, "cohere /v1/rerank"),
        ("/v2/rerank", Dialect.COHERE, "cohere /v2/rerank"),
        ("/rerank", Dialect.COHERE, "cohere /rerank"),
    ],
    ids=lambda value: value.name if isinstance(value, Dialect) else str(value),
)
async def test_commands_for_tei_and_vllm_work(edges: Served, path: str, dialect: Dialect | None, detail: str) -> None:
    """Addresses and dialects of docs/performance.md, with this server in the place of TEI and of vLLM."""
    server = target(server_address(f"{str(edges.http.base_url).rstrip('/')}{path}"), dialect=dialect)
    assert (await server.probe()).detail == detail
    assert summarise(await closed_loop(server, SMALL, Amount(requests=2), clients=2)).answered == 2


def rerank_route(respond: Callable[[Any], Response]) -> Route:
    """Return a route /rerank that computes its response from the body."""

    async def rerank(request: HttpRequest) -> Response:
        return respond(await request.json())

    return Route("/rerank", rerank, methods=["POST"])


async def test_tei_dialect_is_detected() -> None:
    """The server accepts `texts` only and describes itself at /info."""

    def rank(body: Any) -> Response:
        if "texts" not in body:
            return JSONResponse({"error": "missing field `texts`"}, 422)
        return JSONResponse([{"index": index, "score": 0.5} for index in range(len(body["texts"]))])

    def describe(_: HttpRequest) -> Response:
        return JSONResponse({"model_id": "BAAI/bge-reranker-base", "model_dtype": "float16"})

    async with listening(rerank_route(rank), Route("/info", describe)) as url:
        server = _target(url)
        info = await server.probe()
        assert (info.model, info.precision, info.detail) == ("BAAI/bge-reranker-base", "float16", "tei /rerank")
        assert summarise(await closed_loop(server, SMALL, Amount(requests=2), clients=1)).answered == 2


async def test_wrong_responses_are_failed_calls() -> None:
    """The probe rejects such a server; later wrong responses are counted."""
    async with listening(rerank_route(lambda _: JSONResponse({"results": []}))) as url:
        with pytest.raises(LoadTestFailed, match="wrong answer"):
            await _target(f"{url}/rerank").probe()
        summary = summarise(await closed_loop(_target(f"{url}/rerank"), SMALL, Amount(requests=2), clients=1))
        assert summary.errors == {"wrong answer": 2}
