"""The gRPC server: any services, with health checks (grpc.health.v1) and reflection, on one port."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress

import grpc
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2

from rerank_service.api.address import address, bound
from rerank_service.api.auth import Keys
from rerank_service.api.grpc.handlers import Service
from rerank_service.api.grpc.options import GrpcOptions

LIVENESS = "live"
"""Name of the health service for liveness probes: serving as long as the process lives, so that Kubernetes does not
restart a draining pod. The empty name and each service's own name report readiness."""

_MANY = 100_000


class GrpcEdge:
    """The running server."""

    def __init__(
        self, server: grpc.aio.Server, port: int, checks: health.aio.HealthServicer, services: Sequence[str]
    ) -> None:
        """`services` are ready or not as the server is."""
        self._server = server
        self._checks = checks
        self._services = services
        self.port = port

    async def stop(self, grace: float) -> None:
        """Take no more calls, and end when those that are here have ended, or the grace has. Can be called again,
        with less."""
        # core may wait longer, for a client that does not read the end of its connection
        with suppress(TimeoutError):
            await asyncio.wait_for(self._server.stop(grace), grace + 1.0)

    async def set_ready(self, *, ready: bool) -> None:
        """Tell whoever asks for health whether requests should come here."""
        status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", *self._services):
            await self._checks.set(name, status)


def _channel_arguments(options: GrpcOptions) -> list[tuple[str, int]]:
    arguments = [
        ("grpc.max_receive_message_length", options.max_message_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", 0),  # a second server on the port is an error, not a lottery
        # beyond these, a thousand by default, core cancels calls without a word; refusing is admission's
        ("grpc.server.max_pending_requests", _MANY),
        ("grpc.server.max_pending_requests_hard_limit", _MANY),
    ]
    if options.max_connection_age is not None:
        arguments.append(("grpc.max_connection_age_ms", round(options.max_connection_age * 1000)))
    return arguments


def _described(files: Iterable[FileDescriptor]) -> DescriptorPool:
    """Files of whichever pools in one, with what they import; it keeps one of each name."""
    pool = DescriptorPool()

    def add(file: FileDescriptor) -> None:
        for imported in file.dependencies:
            add(imported)
        pool.AddSerializedFile(file.serialized_pb)

    for file in files:
        add(file)
    return pool


@asynccontextmanager
async def listening(services: Sequence[Service], keys: Keys, options: GrpcOptions) -> AsyncIterator[GrpcEdge]:
    """Listen while the block runs: alive from the start, ready when told so. On leaving, calls
    that still run are cancelled.

    Raises:
        OSError: the address is taken.
    """
    # grpc writes the reason to stderr in its own form, and raises an error without it
    bound(options.host, options.port, flag="--grpc-port").close()
    server = grpc.aio.server(options=_channel_arguments(options))
    server.add_generic_rpc_handlers(tuple(service.handler(keys, options.default_timeout) for service in services))
    checks = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    names = [service.descriptor.full_name for service in services]
    files = [*(service.descriptor.file for service in services), health_pb2.DESCRIPTOR, reflection_pb2.DESCRIPTOR]
    reflection.enable_server_reflection(
        (*names, health.SERVICE_NAME, reflection.SERVICE_NAME), server, pool=_described(files)
    )
    try:
        port = server.add_insecure_port(address(options.host, options.port))
    except RuntimeError as error:
        raise OSError(
            f"cannot listen on {address(options.host, options.port)}: {error}; choose another with --grpc-port"
        ) from error
    await server.start()
    edge = GrpcEdge(server, port, checks, names)
    await edge.set_ready(ready=False)
    await checks.set(LIVENESS, health_pb2.HealthCheckResponse.SERVING)
    try:
        yield edge
    finally:
        await edge.stop(1.0)  # calls that end get a moment to say so; who was stopped already is not stopped again
