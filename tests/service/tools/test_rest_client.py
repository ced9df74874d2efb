"""REST client, with our own server and with a server that has TEI's JSON."""

import asyncio
import socket
import struct
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from rerank.v1 import rerank_pb2 as pb
from rerank_service.api.auth import Keys
from rerank_service.errors import InvalidRequest, SettingsInvalid
from rerank_service.models.bundle import Bundle
from rerank_service.tools import rest_client
from rerank_service.tools.http_connection import connect
from rerank_service.tools.rest_client import RestClient
from rerank_service.tools.rest_failure import RestCallFailed, failed_response
from rerank_service.tools.server_calls import Failure, failure
from support.http import listening
from support.running import Running, Served, running, served

DOCUMENTS = ("3", "5", "1")


async def test_rankings_equal_those_over_grpc(edges: Served) -> None:
    """Order, scores and windows are equal."""
    long = ("1 " * 40).strip()
    async with RestClient(str(edges.http.base_url)) as client:
        for documents, top_n in ((DOCUMENTS, None), (DOCUMENTS, 2), ((*DOCUMENTS, long), None)):
            rest = await client.rerank("0", documents, top_n=top_n, model="small")
            grpc = await edges.client.rerank("0", documents, top_n=top_n)
            for one, other in zip(rest.results, grpc.results, strict=True):
                assert (one.index, one.windows, one.best_window) == (other.index, other.windows, other.best_window)
                assert one.relevance_score == pytest.approx(other.relevance_score)
            assert rest.model == grpc.model == "small"
            assert rest.usage.prompt_tokens == grpc.usage.prompt_tokens
        raw = await client.rerank("0", DOCUMENTS, score_type=pb.SCORE_TYPE_RAW)
        assert [result.logit for result in raw.results] == [5.0, 3.0, 1.0]
        cut = await client.rerank("0", (long,), too_long=pb.TOO_LONG_CUT)
        assert cut.results[0].truncated


async def test_models_are_listed(edges: Served) -> None:
    """They have the fields of the REST API."""
    async with RestClient(str(edges.http.base_url)) as client:
        [rest] = await client.models()
    [grpc] = await edges.client.models()
    assert (rest.name, rest.max_tokens, rest.digest) == (grpc.name, grpc.max_tokens, grpc.digest)


async def test_error_has_message_and_code_of_the_server(core: Running) -> None:
    """Wrong key, unknown model, long query, and no connection."""
    async with served(core, keys=Keys(["sesame"])) as edges:
        url = str(edges.http.base_url)
        async with RestClient(url, api_key="wrong") as client:
            with pytest.raises(RestCallFailed, match="HTTP 401"):
                await client.models()
        for query, model, key, code in (
            ("0", "small", "wrong", "invalid_api_key"),
            ("0", "other", "sesame", "model_not_found"),
            ("0 " * 60_000, "small", "sesame", "too_large"),
        ):
            async with RestClient(url, api_key=key) as client:
                with pytest.raises(RestCallFailed, match="HTTP 40") as caught:
                    await client.rerank(query, DOCUMENTS, model=model)
            assert caught.value.server_reason == code
    async with RestClient(url) as client:
        with pytest.raises(
            RestCallFailed, match=r"no connection: .*: check that the server runs, and that this is its REST address"
        ):
            await client.rerank("0", DOCUMENTS)


@pytest.fixture
def connecting_has_its_own_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let connecting take 20 s. On a busy machine, it may take longer than the short deadline of a test, which would be
    another error."""
    monkeypatch.setattr(rest_client, "connect", lambda url, api_key, tls, **_: connect(url, api_key, tls))


@pytest.mark.usefixtures("connecting_has_its_own_limit")
async def test_a_late_response_is_no_lost_connection(edges: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server says what to do. Without its response, the message has the time."""
    edges.core.score.hold()
    with monkeypatch.context() as patched:
        patched.setattr(rest_client, "DEADLINE_MARGIN_SECONDS", 60)  # for a busy machine
        async with RestClient(str(edges.http.base_url), timeout=0.2) as client:
            with pytest.raises(RestCallFailed, match=r"HTTP 504: .*: set a longer timeout"):
                await client.rerank("0", DOCUMENTS, model="small")
    edges.core.score.release()
    ended = asyncio.Event()

    async def rank(_: Request) -> JSONResponse:
        await ended.wait()
        return JSONResponse({})

    async with listening(Route("/v1/rerank", rank, methods=["POST"])) as url, RestClient(url, timeout=0.2) as client:
        with pytest.raises(RestCallFailed, match=r"no response after 200 ms$") as caught:
            await client.rerank("0", DOCUMENTS, model="small")
        ended.set()
    assert failure(caught.value) is Failure.TIMEOUT


@pytest.mark.usefixtures("connecting_has_its_own_limit")
async def test_a_response_that_never_ends_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """A timeout of httpx would begin anew with each byte."""
    monkeypatch.setattr(rest_client, "DEADLINE_MARGIN_SECONDS", 0.01)

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000000000\r\n\r\n")
        try:
            while not writer.is_closing():
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0)
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(trickle, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, asyncio.timeout(30), RestClient(url, timeout=0.05) as client:
        for call in (client.rerank("0", DOCUMENTS, model="small"), client.rerank("0", DOCUMENTS), client.models()):
            with pytest.raises(RestCallFailed, match=r"no response after 50 ms$") as caught:
                await call
            assert caught.value.status == 504


async def test_all_requests_of_a_call_have_one_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server gets the time that is left after the list of models took half of it."""
    loop, late, sent = asyncio.get_running_loop(), 0.0, []
    now = loop.time
    monkeypatch.setattr(loop, "time", lambda: now() + late)

    async def models(_: Request) -> JSONResponse:
        nonlocal late
        late = 30.0
        return JSONResponse({"data": [{"id": "small"}]})

    async def rank(request: Request) -> JSONResponse:
        sent.append(float(request.headers["x-request-timeout"]))
        return JSONResponse({"results": [{"index": 0, "relevance_score": 0.5}]})

    routes = Route("/v1/models", models), Route("/v1/rerank", rank, methods=["POST"])
    async with listening(*routes) as url, RestClient(url, timeout=60) as client:
        await client.rerank("0", ["1"])
        await client.rerank("0", ["1"])
    assert 0 < sent[0] <= 30 < sent[1] <= 60


async def test_a_lost_connection_has_a_reason() -> None:
    """Some errors of httpx have no text. Their name is better than nothing."""

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    server = await asyncio.start_server(reset, "127.0.0.1", 0)
    async with server, RestClient(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}") as client:
        with pytest.raises(RestCallFailed, match=r"no connection: \w+"):
            await client.rerank("0", DOCUMENTS, model="small")


async def test_tei_dialect_is_detected() -> None:
    """The client tries the routes in turn."""

    async def rank(request: Request) -> JSONResponse:
        body: Any = await request.json()
        if "texts" not in body:
            return JSONResponse({"error": "missing field `texts`"}, 422)
        return JSONResponse([{"index": at, "score": float(text)} for at, text in enumerate(body["texts"])])

    async with listening(Route("/rerank", rank, methods=["POST"])) as url, RestClient(url) as client:
        for _ in range(2):
            ranked = await client.rerank("0", DOCUMENTS)
            assert [result.index for result in ranked.results] == [1, 0, 2]
        with pytest.raises(RestCallFailed, match="has no max_tokens_per_doc") as caught:
            await client.rerank("0", DOCUMENTS, max_tokens_per_doc=1)
        assert failure(caught.value) is Failure.FATAL


_TOO_LONG = "maximum context length is 512 tokens"


@pytest.mark.parametrize("max_tokens_per_doc", [None, 256])
@pytest.mark.parametrize(
    ("paths", "posts"),
    [
        (["/v1/rerank", "/v2/rerank", "/rerank"], ["/v1/rerank"]),
        (["/v2/rerank"], ["/v1/rerank", "/v2/rerank"]),
        (["/rerank"], ["/v1/rerank", "/v2/rerank", "/rerank", "/rerank"]),
    ],
)
async def test_the_error_of_a_served_path_is_raised(
    max_tokens_per_doc: int | None, paths: list[str], posts: list[str]
) -> None:
    """And not that of a later guess, which is about the guess. The errors are those of older versions of vLLM."""
    sent = []

    async def rank(request: Request) -> JSONResponse:
        sent.append(request.url.path)
        if request.url.path not in paths:
            return JSONResponse({"detail": "Not Found"}, 404)
        message = _TOO_LONG if "documents" in await request.json() else "documents: Field required"
        return JSONResponse({"object": "error", "message": message, "code": 400}, 400)

    async with listening(Route("/{path:path}", rank, methods=["POST"])) as url, RestClient(url) as client:
        with pytest.raises(RestCallFailed, match=f"{paths[0]}: HTTP 400: {_TOO_LONG}$") as caught:
            await client.rerank("0", DOCUMENTS, model="small", max_tokens_per_doc=max_tokens_per_doc)
    assert failure(caught.value) is Failure.REQUEST
    expected = posts if max_tokens_per_doc is None else list(dict.fromkeys(posts))  # TEI's JSON has no such field
    assert sent == expected


async def test_the_error_of_tei_is_raised_if_its_json_is_the_served_one() -> None:
    """Cohere's JSON misses a field there."""

    async def rank(request: Request) -> JSONResponse:
        if "texts" in await request.json():
            return JSONResponse({"error": "batch size 3 > maximum allowed batch size 2"}, 422)
        return JSONResponse({"error": "missing field `texts`"}, 422)

    async with listening(Route("/rerank", rank, methods=["POST"])) as url, RestClient(url) as client:
        with pytest.raises(RestCallFailed, match="HTTP 422: batch size 3 > maximum") as caught:
            await client.rerank("0", DOCUMENTS, model="small")
        assert failure(caught.value) is Failure.REQUEST
        with pytest.raises(RestCallFailed, match="has TEI's JSON, which has no max_tokens_per_doc") as caught:
            await client.rerank("0", DOCUMENTS, model="small", max_tokens_per_doc=1)
        assert failure(caught.value) is Failure.FATAL


@pytest.mark.parametrize("max_tokens_per_doc", [None, 256])
async def test_a_server_that_serves_no_path_says_so(max_tokens_per_doc: int | None) -> None:
    """Its message is about the model, such as in older versions of vLLM, or about the path."""
    sent = []

    async def missing(request: Request) -> JSONResponse:
        sent.append(request.url.path)
        return JSONResponse({"object": "error", "message": "the model `x` does not exist", "code": 404}, 404)

    async with listening(Route("/{path:path}", missing, methods=["POST"])) as url, RestClient(url) as client:
        with pytest.raises(RestCallFailed, match=r"/v1/rerank: HTTP 404: the model `x` does not exist$"):
            await client.rerank("0", DOCUMENTS, model="x", max_tokens_per_doc=max_tokens_per_doc)
    assert sent == ["/v1/rerank", "/v2/rerank", "/rerank"]


_DATE = "Wed, 21 Oct 2015 07:28:00 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:30 GMT", "date": _DATE}, 30.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:27:00 GMT", "date": _DATE}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:30", "date": _DATE}, None),
        ({"retry-after": _DATE, "date": "today"}, None),
    ],
)
def test_a_failure_has_the_time_that_the_server_asks_for(headers: dict[str, str], seconds: float | None) -> None:
    """The header `retry-after` has seconds or a date."""
    request = httpx.Request("POST", "http://127.0.0.1/v1/rerank")
    assert failed_response(httpx.Response(429, headers=headers, request=request)).retry_after == seconds


async def test_an_overloaded_server_asks_for_a_pause(small_model: Bundle) -> None:
    """It accepts one live document and has it already."""
    async with running(small_model, max_live_documents=1) as core, served(core) as edges:
        core.score.hold()
        live = asyncio.create_task(core.rank("0", "1"))
        await core.score.started()
        async with RestClient(str(edges.http.base_url)) as client:
            with pytest.raises(RestCallFailed, match="HTTP 429") as caught:
                await client.rerank("0", DOCUMENTS, model="small")
        core.score.release()
        await live
    assert caught.value.retry_after == 1.0


@pytest.mark.parametrize("url", ["http://xn--:1", "http://a\x00:1"])
def test_wrong_url_is_rejected(url: str) -> None:
    """The error comes before any call."""
    with pytest.raises(SettingsInvalid, match="is not a URL"):
        RestClient(url)


async def test_negative_top_n_is_rejected(edges: Served) -> None:
    """The error equals that over gRPC. 0 means all, as over gRPC."""
    async with RestClient(str(edges.http.base_url)) as client:
        with pytest.raises(InvalidRequest, match="top_n must be at least 0, not -1"):
            await client.rerank("0", DOCUMENTS, top_n=-1)
        assert len((await client.rerank("0", DOCUMENTS, top_n=0)).results) == len(DOCUMENTS)


async def test_wrong_response_is_an_error() -> None:
    """It is never returned as a ranking."""

    async def rank(request: Request) -> JSONResponse:
        return JSONResponse({"results": [{"index": 0}]})

    async with listening(Route("/v1/rerank", rank, methods=["POST"])) as url, RestClient(url) as client:
        with pytest.raises(RestCallFailed, match="is not a ranking") as caught:
            await client.rerank("0", DOCUMENTS)
        assert failure(caught.value) is Failure.FATAL
