"""gRPC health checks and reflection, for all services."""

import asyncio

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from rerank_service.api.auth import Keys
from rerank_service.api.grpc.server import listening
from support.limits import grpc_options
from support.running import Served
from support.tls import OWN_CONNECTION

VERSIONS = ("v1", "v1alpha")
"""Versions of the reflection protocol, which have the same messages."""


async def test_readiness_and_liveness_differ(edges: Served) -> None:
    """A draining pod is not ready, but live, so that Kubernetes does not restart it."""
    channel = grpc.aio.insecure_channel(edges.address)  # the client's own would ask for health by itself
    health = health_pb2_grpc.HealthStub(channel)

    async def status(service: str) -> int:
        response = await health.Check(health_pb2.HealthCheckRequest(service=service))
        return int(response.status)

    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    assert [await status(name) for name in ("", "rerank.v1.Rerank", "live")] == [serving] * 3
    await edges.grpc.set_ready(ready=False)
    assert [await status(name) for name in ("", "rerank.v1.Rerank", "live")] == [not_serving, not_serving, serving]
    await channel.close()


async def test_reflection_lists_the_services(edges: Served) -> None:
    """grpcurl needs no proto file. Newer clients ask for v1 and older ones for v1alpha."""
    async with grpc.aio.insecure_channel(edges.address) as channel:
        for version in VERSIONS:
            assert await _listed(channel, version) == {
                "rerank.v1.Rerank",
                "tei.v1.Rerank",
                "tei.v1.Info",
                "grpc.health.v1.Health",
                "grpc.reflection.v1.ServerReflection",
                "grpc.reflection.v1alpha.ServerReflection",
            }


async def test_health_and_reflection_have_all_services(edges: Served) -> None:
    """TEI's services have TEI's file name. rerank.v1 has all its imports."""
    async with grpc.aio.insecure_channel(edges.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for ready, status in ((True, "SERVING"), (False, "NOT_SERVING")):
            await edges.grpc.set_ready(ready=ready)
            for name in ("tei.v1.Rerank", "tei.v1.Info"):
                response = await health.Check(health_pb2.HealthCheckRequest(service=name))
                assert health_pb2.HealthCheckResponse.ServingStatus.Name(response.status) == status
        for symbol, names in (
            ("tei.v1.Rerank", {"tei.proto"}),
            ("rerank.v1.Rerank", {"google/protobuf/duration.proto", "google/protobuf/struct.proto"}),
            ("grpc.health.v1.Health", set()),
            ("grpc.reflection.v1.ServerReflection", {"grpc/reflection/v1/reflection.proto"}),
            ("grpc.reflection.v1alpha.ServerReflection", set()),
        ):
            for version in VERSIONS:
                pool = await _described(channel, symbol, version)
                for name in names:
                    pool.FindFileByName(name)
                pool.FindServiceByName(symbol)


async def _reflected(
    channel: grpc.aio.Channel, version: str, request: reflection_pb2.ServerReflectionRequest
) -> reflection_pb2.ServerReflectionResponse:
    info = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    return await anext(aiter(info(iter([request]))))


async def _listed(channel: grpc.aio.Channel, version: str) -> set[str]:
    response = await _reflected(channel, version, reflection_pb2.ServerReflectionRequest(list_services=""))
    return {service.name for service in response.list_services_response.service}


async def _described(channel: grpc.aio.Channel, symbol: str, version: str) -> DescriptorPool:
    """Return the descriptors that a client such as grpcurl builds from the response."""
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
    response = await _reflected(channel, version, request)
    pool = DescriptorPool()
    for file in reversed(response.file_descriptor_response.file_descriptor_proto):
        pool.AddSerializedFile(file)
    return pool


async def test_server_starts_with_the_longest_connection_age() -> None:
    """gRPC takes milliseconds as an int32, which is less than the maximum of the setting."""
    async with listening((), Keys(), grpc_options(max_connection_age=365 * 24 * 60 * 60.0)) as edge:
        assert edge.port > 0


async def test_watch_does_not_stretch_a_shutdown(edges: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stranger needs no key for one. Rankings still have the whole grace period."""
    shortened = asyncio.Event()
    stop = edges.grpc._server.stop

    async def watched(grace: float) -> None:
        if grace <= 1.0:
            shortened.set()
        await stop(min(grace, 0.05) if grace <= 1.0 else grace)

    monkeypatch.setattr(edges.grpc._server, "stop", watched)
    async with grpc.aio.insecure_channel(edges.address, options=OWN_CONNECTION) as channel:
        watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        assert await watch.read() is not grpc.aio.EOF
        edges.core.score.hold()
        ranking = asyncio.create_task(edges.client.rerank("0", ["1"]))
        await edges.core.score.started()
        stopping = asyncio.create_task(edges.grpc.stop(3600.0))
        assert not await _ends_soon(stopping)
        assert not shortened.is_set()
        edges.core.score.release()
        assert len((await ranking).results) == 1
        await stopping
        assert shortened.is_set()


async def _ends_soon(task: "asyncio.Task[None]") -> bool:
    """Return whether a task ends within many turns of the loop."""
    for _ in range(200):
        await asyncio.sleep(0)
    return task.done()
