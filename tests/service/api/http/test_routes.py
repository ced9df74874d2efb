"""Routes of the REST server over a real port: errors in every dialect, API keys, deadlines, cancellation, health."""

import asyncio
import socket

import orjson
import pytest

from rerank_service.api.auth import Keys
from rerank_service.api.http.dialects import all_dialects
from rerank_service.api.http.dialects.contract import Dialect, Exchange
from rerank_service.api.http.routes import error_response
from rerank_service.errors import (
    DeadlineExceeded,
    InferenceFailed,
    InvalidRequest,
    NotReady,
    Overloaded,
    RateLimited,
    RequestError,
)
from rerank_service.models.bundle import Bundle
from support.http import post, works
from support.running import MAX_MESSAGE_BYTES, Running, Served, running, served


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe", b"[]", b'"text"', b'{"query": NaN}'])
async def test_body_that_is_not_a_json_object_is_rejected(edges: Served, body: bytes) -> None:
    """The status is 400, in the unified form."""
    response = await post(edges, body)
    assert response.status_code == 400
    assert response.json()["error"]["type"] == "invalid_request_error"
    assert await works(edges)


async def test_body_over_the_limit_is_413(edges: Served) -> None:
    """The error names no field."""
    response = await post(edges, {"query": "0", "documents": ["1" * MAX_MESSAGE_BYTES]})
    assert (response.status_code, response.json()["error"]["type"]) == (413, "request_too_large")
    assert await works(edges)


async def test_internal_error_has_the_request_id_only(edges: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cause is in the log."""
    monkeypatch.setattr(edges.core.reranker, "rerank", None)
    response = await post(edges, {"query": "0", "documents": ["1"]}, **{"x-request-id": "mine"})
    assert response.status_code == 500
    assert response.json()["message"] == "internal error: see request id mine in the server's log"


async def test_internal_error_of_a_look_up_has_the_request_id_only(
    edges: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A GET request gets the same answer to an unexpected error as a ranking."""
    monkeypatch.setattr(edges.core.registry, "infos", lambda: 1 / 0)
    response = await edges.http.get("/v1/models", headers={"x-request-id": "mine"})
    assert (response.status_code, response.headers["x-request-id"]) == (500, "mine")
    assert response.json()["message"] == "internal error: see request id mine in the server's log"


async def test_deadline_of_the_header_applies(edges: Served) -> None:
    """The status is 504, and the request leaves the queue."""
    edges.core.score.hold()
    response = await post(edges, {"query": "0", "documents": ["1"]}, **{"x-request-timeout": "0.05"})
    assert (response.status_code, response.json()["error"]["type"]) == (504, "timeout_error")
    edges.core.score.release()
    assert edges.core.idle()


@pytest.mark.parametrize("dialect", all_dialects(), ids=lambda dialect: type(dialect).__name__)
@pytest.mark.parametrize(
    ("error", "obeyed"),
    [
        (DeadlineExceeded("too late"), "false"),
        (InferenceFailed("no score"), "false"),
        (RequestError("internal error"), "false"),
        (Overloaded("busy", retry_after=1), None),
        (RateLimited("over the limit", retry_after=1), None),
        (NotReady("draining"), None),
        (InvalidRequest("query must not be empty"), None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_sdks_learn_which_errors_a_retry_repeats(dialect: Dialect, error: RequestError, obeyed: str | None) -> None:
    """SDKs that Stainless generates obey the header, whatever the status. They repeat any other 5xx and 408."""
    response = error_response(error, dialect, Exchange("id", dialect.paths[0]))
    assert response.headers.get("x-should-retry") == obeyed
    assert not ("x-should-retry" in response.headers and "retry-after" in response.headers)


@pytest.mark.parametrize("sent", ["-1", "soon", "nan", "inf", "-0.5"])
async def test_invalid_deadline_is_rejected(edges: Served, sent: str) -> None:
    """The status is 400, and the message names the header."""
    response = await post(edges, {"query": "0", "documents": ["1"]}, **{"x-request-timeout": sent})
    assert response.status_code == 400
    assert "X-Request-Timeout" in response.json()["message"]


async def test_invalid_deadline_has_the_form_of_the_dialect(edges: Served) -> None:
    """Voyage's client fails on an `error` object."""
    voyage = await post(edges, {"query": "0", "documents": ["1"], "top_k": 1}, **{"x-request-timeout": "soon"})
    assert (voyage.status_code, sorted(voyage.json())) == (400, ["detail", "message"])
    tei = await post(edges, {"query": "0", "texts": ["1"]}, **{"x-request-timeout": "soon"})
    assert (tei.status_code, tei.json()["error_type"]) == (422, "Validation")


async def test_overload_is_429_with_retry_after(small_model: Bundle) -> None:
    """together 1.x requires the header in lower case. litellm takes any body with `invalid_request_error` for a 400."""
    async with running(small_model, max_live_documents=1) as core, served(core) as edges:
        core.score.hold()
        first = asyncio.create_task(post(edges, {"query": "0", "documents": ["1"]}))
        await core.score.started()
        response = await post(edges, {"query": "0", "documents": ["1"]})
        assert response.status_code == 429
        assert (b"retry-after", b"1") in response.headers.raw
        assert "invalid_request_error" not in response.text
        core.score.release()
        assert (await first).status_code == 200


@pytest.mark.parametrize("sent", ["é", "two words", "x" * 200])
async def test_invalid_request_id_is_replaced(edges: Served, sent: str) -> None:
    """It could break a header or a log line."""
    body = orjson.dumps({"query": "0", "documents": ["1"]})
    response = await edges.http.post("/v2/rerank", content=body, headers={b"x-request-id": sent.encode("latin-1")})
    assert response.headers["x-request-id"] == response.json()["id"] != sent


async def test_draining_server_is_503_with_retry_after(edges: Served) -> None:
    """The error type is `overloaded_error`."""
    edges.core.admission.close()
    response = await post(edges, {"query": "0", "documents": ["1"]})
    assert (response.status_code, response.json()["error"]["type"]) == (503, "overloaded_error")
    assert (b"retry-after", b"1") in response.headers.raw


async def test_server_is_live_from_the_start_and_ready_when_set(edges: Served) -> None:
    """Readiness is 503 before, and 200 after."""
    assert (await edges.http.get("/health/live")).status_code == 200
    early = await edges.http.get("/health/ready")
    assert (early.status_code, early.headers["retry-after"]) == (503, "1")
    edges.routes.ready = True
    assert (await edges.http.get("/health/ready")).status_code == 200


async def test_closed_connection_cancels_the_request(edges: Served) -> None:
    """HTTP has no other way to cancel."""
    edges.core.score.hold()
    body = orjson.dumps({"query": "0", "documents": [str(n) for n in range(99)]})
    host, port = edges.http.base_url.host, edges.http.base_url.port
    assert port is not None
    _, writer = await asyncio.open_connection(host, port, family=socket.AF_INET)
    writer.write(b"POST /v2/rerank HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
    await writer.drain()
    await edges.core.score.started()
    writer.close()
    while not edges.core.idle():
        await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    "header",
    [
        {"authorization": "Bearer sesame"},
        {"authorization": "BEARER sesame"},
        {"authorization": "sesame"},
        {"x-api-key": "sesame"},
        {"api-key": "sesame"},
        {"authorization": "Basic dXNlcjpwYXNz", "x-api-key": "sesame"},
    ],
)
async def test_key_is_accepted_in_each_form(core: Running, header: dict[str, str]) -> None:
    """The scheme in any case or absent, or a header of its own."""
    async with served(core, keys=Keys(["other", "sesame"])) as edges:
        assert (await post(edges, {"query": "0", "documents": ["1"]}, **header)).status_code == 200


async def test_401_names_the_scheme_in_every_dialect(core: Running) -> None:
    """RFC 9110 requires it. A browser asks its user for Basic only, and so no dialog covers the playground."""
    async with served(core, keys=Keys(["sesame"])) as edges:
        responses = [
            await edges.http.post(path.replace("{model}", "small"), json=dict(dialect.example))
            for dialect in all_dialects()
            for path in dialect.documented_paths
        ]
        responses += [await edges.http.get("/v1/models"), await edges.http.get("/info", headers={"x-api-key": "x"})]
    assert {response.status_code for response in responses} == {401}
    assert {response.headers["www-authenticate"] for response in responses} == {"Bearer"}


@pytest.mark.parametrize("header", [{}, {"authorization": "Bearer wrong"}, {"authorization": "Basic c2VzYW1l"}])
async def test_missing_or_wrong_key_is_401(core: Running, header: dict[str, str]) -> None:
    """The error has the form of the body's dialect."""
    async with served(core, keys=Keys(["sesame"])) as edges:
        assert (await edges.http.get("/v1/models", headers=header)).status_code == 401
        stranger = await post(edges, {"query": "0", "documents": ["1" * 500_000]}, **header)
        assert stranger.status_code == 401
        response = await post(edges, {"query": "0", "documents": ["1"]}, **header)
        assert (response.status_code, response.json()["error"]["type"]) == (401, "authentication_error")
        voyage = await post(edges, {"query": "0", "documents": ["1"], "top_k": 1}, **header)
        assert voyage.json().keys() == {"message", "detail"}
