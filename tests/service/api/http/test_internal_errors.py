"""Errors that no route handles, over a real port."""

import pytest
from starlette.types import Message, Receive, Scope, Send

from rerank_service.api.http.internal_errors import InternalErrors
from support.observed import observed
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


async def test_response_that_has_begun_gets_no_second_one() -> None:
    """uvicorn closes the connection, so that the client sees the end."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request"}

    async def fail(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200})
        raise RuntimeError("too late")

    with pytest.raises(RuntimeError, match="too late"):
        await InternalErrors(fail)({"type": "http"}, receive, send)
    assert sent == [{"type": "http.response.start", "status": 200}]
