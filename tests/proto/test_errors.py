"""Errors of the clients: their classes, attributes and compatibility with gRPC's own errors."""

import asyncio
import copy
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import grpc
import pytest

from rerank import errors
from rerank.admin import AdminClient
from rerank.client import AsyncRerankClient, RerankClient
from rerank.errors import (
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    NotFound,
    Overloaded,
    RerankError,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)
from rerank_service.api.auth import Keys
from rerank_service.models.bundle import Bundle
from support.running import MAX_MESSAGE_BYTES, Running, Served, running, served
from support.scripted import Reply, scripted
from support.small import BOOM


async def _error_of(address: str, kind: str, *documents: str, **options: Any) -> RerankError:
    """Return the error of a call by one of the clients."""
    with pytest.raises(RerankError) as caught:
        if kind == "asyncio":
            async with AsyncRerankClient(address, retries=0) as client:
                await client.rerank("0", documents, **options)
        else:
            with RerankClient(address, retries=0) as blocking:
                await asyncio.to_thread(lambda: blocking.rerank("0", documents, **options))
    return caught.value


BOTH = pytest.mark.parametrize("kind", ["asyncio", "blocking"])


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
async def test_each_status_has_its_class(code: grpc.StatusCode) -> None:
    """By its name. A status without a class is a RerankError. gRPC's error is the cause."""
    with scripted(*[Reply(code, "why\nit failed")] * 2) as server:
        for kind in ("asyncio", "blocking"):
            error = await _error_of(server.address, kind)
            name = code.name.title().replace("_", "")
            assert type(error) is getattr(errors, name, RerankError)
            assert (error.status, error.message, error.request_id) == (code, "why\nit failed", "scripted-1")
            assert str(error) == f"{code.name}: why it failed"
            assert isinstance(error.__cause__, grpc.RpcError)
            assert not isinstance(error.__cause__, RerankError)


@BOTH
async def test_code_for_the_errors_of_grpc_still_works(edges: Served, kind: str) -> None:
    """Code that catches gRPC's errors, and asks them for code, details and metadata."""
    error = await _error_of(edges.address, kind, "1", top_n=-1)
    assert isinstance(error, grpc.RpcError)
    assert isinstance(error, grpc.aio.AioRpcError)
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert error.details() == error.message
    assert dict(error.trailing_metadata())["x-request-id"] == error.request_id


@BOTH
async def test_a_wrong_field_is_named(edges: Served, kind: str) -> None:
    """With the reason that the JSON APIs have as code."""
    error = await _error_of(edges.address, kind, "1", top_n=-1)
    assert isinstance(error, InvalidArgument)
    assert (error.field, error.reason, error.retry_after) == ("top_n", "out_of_range", None)
    assert "top_n" in error.message


@BOTH
async def test_errors_have_the_id_of_the_request(edges: Served, kind: str) -> None:
    """The server makes it, and logs it."""
    first, second = [await _error_of(edges.address, kind, "1", model="other") for _ in range(2)]
    assert isinstance(first, NotFound)
    assert first.reason == "model_not_found"
    assert first.request_id
    assert first.request_id != second.request_id


@BOTH
async def test_a_failure_of_the_model_is_internal(edges: Served, kind: str) -> None:
    """The server failed, not the request."""
    error = await _error_of(edges.address, kind, BOOM)
    assert isinstance(error, Internal)
    assert error.reason == "inference_failed"


@BOTH
async def test_an_address_without_a_grpc_server_names_the_next_step(edges: Served, kind: str) -> None:
    """No server, and the REST port. gRPC's own text remains in the cause."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        free = f"127.0.0.1:{taken.getsockname()[1]}"
    refused = await _error_of(free, kind, "1")
    assert isinstance(refused, Unavailable)
    assert refused.message == (
        f"no connection to {free}: Connection refused: check that the server runs, and that this is its gRPC address"
    )
    assert isinstance(refused.__cause__, grpc.RpcError)
    assert "last error" in str(refused.__cause__)
    rest = f"127.0.0.1:{edges.http.base_url.port}"
    error = await _error_of(rest, kind, "1")
    assert error.message == f"{rest} speaks HTTP/1, so it is not a gRPC server: give the gRPC port, not the REST port"


@BOTH
async def test_an_overload_says_when_to_retry(small_model: Bundle, kind: str) -> None:
    """An Overloaded has the forecast of the server."""
    async with running(small_model, max_live_documents=1) as core, served(core) as edges:
        core.score.hold()
        first = asyncio.create_task(edges.client.rerank("0", ["1"]))
        await core.score.started()
        error = await _error_of(edges.address, kind, "1")
        core.score.release()
        await first
    assert isinstance(error, Overloaded)
    assert error.retry_after is not None
    assert error.retry_after > 0
    assert error.reason == "overloaded"


@BOTH
async def test_a_message_that_is_too_large_is_no_overload(edges: Served, kind: str) -> None:
    """gRPC has one status for both."""
    error = await _error_of(edges.address, kind, "1 " * MAX_MESSAGE_BYTES)
    assert type(error) is ResourceExhausted
    assert error.request_id is None


@BOTH
async def test_a_wrong_key_is_unauthenticated(core: Running, kind: str) -> None:
    """Also in a stream, and for the list of models."""
    async with served(core, keys=Keys(["sesame"])) as edges:
        error = await _error_of(edges.address, kind, "1")
        assert isinstance(error, Unauthenticated)
        with pytest.raises(Unauthenticated):
            await edges.client.rerank_stream("0", ["1"])
        with pytest.raises(Unauthenticated):
            await edges.client.models()


async def test_a_passed_deadline_is_deadline_exceeded(edges: Served) -> None:
    """By both clients, with no id of a request: the server has not responded."""
    edges.core.score.hold()
    async with AsyncRerankClient(edges.address, timeout=0.2) as client:
        with pytest.raises(DeadlineExceeded):
            await client.rerank("0", ["1"])
    with RerankClient(edges.address, timeout=0.2) as blocking, pytest.raises(DeadlineExceeded):
        await asyncio.to_thread(blocking.rerank, "0", ["1"])


async def test_a_method_that_the_server_does_not_have_is_unimplemented(edges: Served) -> None:
    """Admin has a port of its own."""
    with AdminClient(edges.address) as client, pytest.raises(Unimplemented) as caught:
        await asyncio.to_thread(client.bundles)
    assert caught.value.request_id


@pytest.mark.parametrize("details", [b"\xff\xff", b"", b"\x1a\x02\x0a\x00"], ids=["garbage", "empty", "no-type"])
async def test_details_that_cannot_be_read_are_ignored(details: bytes) -> None:
    """A proxy may have made them."""
    with scripted(Reply(grpc.StatusCode.UNAVAILABLE, details=details)) as server:
        error = await _error_of(server.address, "blocking")
    assert isinstance(error, Unavailable)
    assert (error.message, error.retry_after, error.field, error.reason) == ("scripted", None, None, None)


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
async def test_errors_can_be_copied_and_pickled(edges: Served, again: Callable[[RerankError], RerankError]) -> None:
    """Worker processes return them to their parent."""
    error = await _error_of(edges.address, "blocking", "1", top_n=-1)
    copied = again(error)
    assert type(copied) is InvalidArgument
    assert (str(copied), repr(copied)) == (str(error), repr(error))
    for name in ("status", "message", "field", "reason", "retry_after", "request_id"):
        assert getattr(copied, name) == getattr(error, name)
    assert copied.trailing_metadata() == error.trailing_metadata()


@pytest.mark.parametrize("name", errors.__all__)
def test_errors_can_be_made_by_hand(name: str) -> None:
    """For tests of callers: a message is enough."""
    error = getattr(errors, name)("why")
    assert error.code() is error.status is error.default_status
    assert str(error) == f"{error.status.name}: why"


def test_the_client_needs_only_grpcio_and_protobuf() -> None:
    """Also the errors, whose details google.rpc defines."""
    code = (
        "import sys, rerank.client, rerank.admin, rerank.errors\n"
        "print(*({name.partition('.')[0] for name in sys.modules} & {'rerank_service', 'numpy', 'grpc_status'}),"
        " 'google.rpc' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["False"]
