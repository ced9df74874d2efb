"""Errors that no route handles, over a real port."""

import asyncio
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from rerank_service.api.http.internal_errors import InternalErrors
from rerank_service.api.http.metrics_port import metrics_app
from rerank_service.api.http.metrics_route import METRICS
from rerank_service.api.http.observed_app import ObservedApp
from rerank_service.api.http.server import listening
from rerank_service.api.request_observation import Observing
from support.limits import rest_options
from support.observed import Recorder, observed
from support.running import Running

ORIGIN = "https://search.example.com"


async def _failing(_accept: str) -> tuple[bytes, str]:
    raise RuntimeError("a secret text")


async def test_response_has_the_form_of_all_errors(core: Running) -> None:
    """A script may read it, an SDK does not repeat it, and it quotes no message."""
    async with observed(core, metrics=_failing, cors_origins=(ORIGIN,)) as (edges, _):
        response = await edges.http.get("/metrics", headers={"origin": ORIGIN, "x-request-id": "id-1"})
    assert response.status_code == 500
    message = "internal error: see request id id-1 in the server's log"
    error = {"message": message, "type": "server_error", "param": None, "code": "internal"}
    assert response.json() == {"message": message, "detail": message, "error": error}
    headers = ("access-control-allow-origin", "x-request-id", "x-should-retry")
    assert [response.headers[name] for name in headers] == [ORIGIN, "id-1", "false"]


async def test_record_has_the_error(core: Running) -> None:
    """The log writes its traceback, also of a route whose other requests have no record."""
    async with observed(core, metrics=_failing) as (edges, recorder):
        await edges.http.get("/metrics", headers={"x-request-id": "id-2"})
        record = await recorder.next()
    assert (record.id, record.status, record.route) == ("id-2", 500, "/metrics")
    assert record.failure is not None
    assert (record.failure.reason, repr(record.failure.unexpected)) == ("internal", "RuntimeError('a secret text')")
    assert record.failure.unexpected is not None
    assert record.failure.unexpected.__traceback__ is not None


async def test_port_for_metrics_has_the_same_errors() -> None:
    """The response, and the record."""
    recorder = Recorder()
    async with (
        listening(metrics_app(_failing), rest_options(), Observing(recorder)) as port,
        httpx.AsyncClient(timeout=60) as http,
    ):
        response = await http.get(f"{port.urls[0]}/metrics", headers={"x-request-id": "id-3"})
        record = await recorder.next()
    assert (response.status_code, response.json()["error"]["code"]) == (500, "internal")
    assert (record.id, record.status, record.route) == ("id-3", 500, "/metrics")


async def _no_message() -> Message:
    return {"type": "http.request"}


def _observed(route: Route, recorder: Recorder) -> ObservedApp:
    return ObservedApp(Starlette(routes=[route], middleware=[Middleware(InternalErrors)]), Observing(recorder))


def _scope(path: str) -> dict[str, Any]:
    address = ("127.0.0.1", 1)
    return {"type": "http", "method": "GET", "path": path, "headers": [], "client": address, "query_string": b""}


async def test_response_that_has_begun_gets_no_second_one() -> None:
    """uvicorn closes the connection, so that the client sees the end. The record has the error."""
    sent, recorder = list[Message](), Recorder()

    async def send(message: Message) -> None:
        sent.append(message)

    class Failing:
        async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise RuntimeError("too late")

    with pytest.raises(RuntimeError, match="too late"):
        await _observed(Route("/path", Failing()), recorder)(_scope("/path"), _no_message, send)
    assert [message["type"] for message in sent] == ["http.response.start"]
    record = await recorder.next()
    assert record.failure is not None
    assert repr(record.failure.unexpected) == "RuntimeError('too late')"


async def test_request_for_metrics_that_ends_without_a_response_has_no_record() -> None:
    """The end of the grace period cancels it. No client has seen a status."""
    recorder = Recorder()

    async def wait(_request: Request) -> Response:
        raise asyncio.CancelledError

    async def send(_message: Message) -> None:
        raise AssertionError

    with pytest.raises(asyncio.CancelledError):
        await _observed(Route(METRICS, wait), recorder)(_scope(METRICS), _no_message, send)
    assert recorder.empty
