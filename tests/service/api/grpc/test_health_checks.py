"""Health checks and reflection: invalid messages, the list, and watchers that read nothing."""

import asyncio
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support.http2 import PREFACE, frame, headers, message
from support.running import Served

_SETTINGS, _ACK, _INITIAL_WINDOW = 4, 1, 4
_NO_WINDOW = _INITIAL_WINDOW.to_bytes(2, "big") + bytes(4)
_SERVING, _NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
_METHODS = (
    "/grpc.health.v1.Health/Check",
    "/grpc.health.v1.Health/List",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
)


@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x0a\x05x", b"\x0a\x01\xff"], ids=["tag", "length", "UTF-8"])
@pytest.mark.parametrize("method", _METHODS)
async def test_invalid_bytes_are_an_invalid_argument(
    edges: Served, method: str, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """grpc.aio alone would respond with UNKNOWN, and log a traceback. HealthListRequest has no field: the last bytes
    are valid there."""
    async with grpc.aio.insecure_channel(edges.address) as channel:
        sent: Any = iter([data])
        call: Any = channel.stream_stream(method)(sent)
        if method.endswith("List") and data == b"\x0a\x01\xff":
            assert await call.read()
        else:
            with pytest.raises(grpc.aio.AioRpcError, match="is not a valid message") as caught:
                await call.read()
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert [record.message for record in caplog.records] == []


async def test_list_has_each_service(edges: Served) -> None:
    """grpcio-health-checking does not implement it. Names of models are not for strangers, who need no key here."""
    async with grpc.aio.insecure_channel(edges.address) as channel:
        await edges.grpc.set_ready(ready=False, models={"small": True})
        listed: Any = await health_pb2_grpc.HealthStub(channel).List(health_pb2.HealthListRequest())
        statuses = {name: response.status for name, response in listed.statuses.items()}
        assert statuses["rerank.v1.Rerank"] == _NOT_SERVING
        assert "rerank.v1.Rerank/small" not in statuses
        asked = health_pb2.HealthCheckRequest(service="rerank.v1.Rerank/small")
        assert (await health_pb2_grpc.HealthStub(channel).Check(asked)).status == _NOT_SERVING
        assert {name for name, status in statuses.items() if status == _SERVING} == {"live"}
        await edges.grpc.set_ready(ready=True)
        listed = await health_pb2_grpc.HealthStub(channel).List(health_pb2.HealthListRequest())
        assert listed.statuses[""].status == _SERVING


async def test_watch_sends_each_change(edges: Served) -> None:
    """An unknown service too: it may become known."""
    async with grpc.aio.insecure_channel(edges.address) as channel:
        service = "rerank.v1.Rerank/later"
        call: Any = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(service=service))
        assert (await call.read()).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        for ready in (True, False, True):
            await edges.grpc.set_ready(ready=ready, models={"later": True})
            assert (await call.read()).status == (_SERVING if ready else _NOT_SERVING)
        call.cancel()


async def test_watcher_that_reads_nothing_does_not_delay_others(edges: Served) -> None:
    """Its HTTP/2 window is empty, so the server cannot write the first status to it."""
    host, _, port = edges.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    settings = frame(_SETTINGS, 0, 0, _NO_WINDOW) + frame(_SETTINGS, _ACK, 0)
    writer.write(PREFACE + settings + headers(1, "/grpc.health.v1.Health/Watch") + message(1, b""))
    assert await reader.readuntil(b"\0\0\0\4\1\0\0\0\0")  # the server has applied the settings
    async with grpc.aio.insecure_channel(edges.address) as channel:
        watching: Any = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert (await watching.read()).status == _SERVING
        await edges.grpc.set_ready(ready=False)
        assert (await watching.read()).status == _NOT_SERVING
        watching.cancel()
    writer.close()
