"""gRPC health checks and reflection, for all services."""

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from rerank_service.api.auth import Keys
from rerank_service.api.grpc.server import listening
from support.limits import grpc_options
from support.running import Served


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
    """grpcurl needs no proto file."""
    stub = reflection_pb2_grpc.ServerReflectionStub(edges.client._channel)
    responses = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
    response = await anext(aiter(responses))
    names = {service.name for service in response.list_services_response.service}
    assert {"rerank.v1.Rerank", "grpc.health.v1.Health"} <= names


async def test_health_and_reflection_have_all_services(edges: Served) -> None:
    """TEI's services have TEI's file name. rerank.v1 has all its imports."""
    async with grpc.aio.insecure_channel(edges.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for ready, status in ((True, "SERVING"), (False, "NOT_SERVING")):
            await edges.grpc.set_ready(ready=ready)
            for name in ("tei.v1.Rerank", "tei.v1.Info"):
                response = await health.Check(health_pb2.HealthCheckRequest(service=name))
                assert health_pb2.HealthCheckResponse.ServingStatus.Name(response.status) == status
        assert {"tei.v1.Rerank", "tei.v1.Info", "rerank.v1.Rerank"} <= await _listed(channel)
        for symbol, names in (
            ("tei.v1.Rerank", {"tei.proto"}),
            ("rerank.v1.Rerank", {"google/protobuf/duration.proto", "google/protobuf/struct.proto"}),
            ("grpc.health.v1.Health", set()),
        ):
            pool = await _described(channel, symbol)
            for name in names:
                pool.FindFileByName(name)
            pool.FindServiceByName(symbol)


async def _listed(channel: grpc.aio.Channel) -> set[str]:
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    response = await anext(aiter(stub.ServerReflectionInfo(iter([request]))))
    return {service.name for service in response.list_services_response.service}


async def _described(channel: grpc.aio.Channel, symbol: str) -> DescriptorPool:
    """Return the descriptors that a client such as grpcurl builds from the response."""
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    response = await anext(aiter(stub.ServerReflectionInfo(iter([request]))))
    pool = DescriptorPool()
    for file in reversed(response.file_descriptor_response.file_descriptor_proto):
        pool.AddSerializedFile(file)
    return pool


async def test_server_starts_with_the_longest_connection_age() -> None:
    """gRPC takes milliseconds as an int32, which is less than the maximum of the setting."""
    async with listening((), Keys(), grpc_options(max_connection_age=365 * 24 * 60 * 60.0)) as edge:
        assert edge.port > 0
