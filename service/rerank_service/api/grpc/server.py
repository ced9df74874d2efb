"""gRPC server: services, health checks (grpc.health.v1) and reflection on the same addresses."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from rerank_service.api.auth import Keys
from rerank_service.api.grpc.binding import bind
from rerank_service.api.grpc.bounded_services import BoundedServer
from rerank_service.api.grpc.handlers import Service
from rerank_service.api.grpc.health_checks import MODEL_PREFIX, HealthChecks
from rerank_service.api.grpc.library_log import hide_lines_caused_by_clients
from rerank_service.api.grpc.observed_calls import unknown_method
from rerank_service.api.grpc.options import GrpcOptions
from rerank_service.api.grpc.reflection import add_reflection
from rerank_service.api.grpc.registered_methods import ending_with, registered_server
from rerank_service.api.grpc.running_calls import RunningCalls
from rerank_service.api.request_observation import Observing

LIVENESS = "live"
"""Name of the health service for liveness probes: SERVING while the process runs, so that Kubernetes does not restart
a draining pod. The empty name and the name of each service report readiness."""
_MAX_MILLISECONDS = 2**31 - 1
"""Largest number of milliseconds in an argument of gRPC: 24 days. gRPC takes it as no limit."""
_OTHERS_GRACE = 1.0
"""Seconds for calls of other services when none of ours runs."""
_MAX_PENDING_CALLS = 20_000
"""Above this number of pending calls, gRPC cancels new calls without a message. Its default is 1,000. Admission rejects
requests much earlier, with a message. Strangers can fill it, because these calls wait before the server sees
them: each one takes 15 KiB, so 20,000 take 300 MiB."""


class GrpcEdge:
    """The running server."""

    def __init__(
        self,
        server: grpc.aio.Server,
        checks: HealthChecks,
        services: Sequence[str],
        calls: RunningCalls,
        options: GrpcOptions,
    ) -> None:
        """Listen on the addresses. `services` are the names whose health status reports the readiness of the server.

        Raises:
            SettingsInvalid: an address is in use or not allowed.
        """
        self._server = server
        self._checks = checks
        self._calls = calls
        self._services = services
        self._models: set[str] = set()
        self.port, self.targets = bind(server, options)

    async def stop(self, grace: float) -> None:
        """Accept no new calls, and wait until running calls end. After `grace` seconds, cancel them.

        Health watches, reflection and silent connections of strangers get at most a second more than our own services.
        A second call may shorten the grace period.
        """
        # gRPC may wait longer, for a client that does not read the end of its connection
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopped(grace), grace + 1.0)

    async def _stopped(self, grace: float) -> None:
        stopping = asyncio.ensure_future(self._server.stop(grace))
        idle = asyncio.ensure_future(self._calls.ended())
        try:
            waiting: list[asyncio.Future[None]] = [stopping, idle]
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if not stopping.done():
                await self._server.stop(min(grace, _OTHERS_GRACE))
            await stopping
        finally:
            stopping.cancel()
            idle.cancel()

    async def set_ready(self, *, ready: bool, models: Mapping[str, bool] | None = None) -> None:
        """Set the readiness that health checks report: of the server, and of each model by its names and aliases."""
        models = models or {}
        for name in ("", *self._services):
            self._checks.set(name, _health(ready=ready))
        for name in sorted(self._models - models.keys()):
            self._checks.set(_model_service(name), health_pb2.HealthCheckResponse.SERVICE_UNKNOWN)
        for name, accepts in models.items():
            self._checks.set(_model_service(name), _health(ready=ready and accepts))
        self._models = set(models)


def _health(*, ready: bool) -> health_pb2.HealthCheckResponse.ServingStatus.ValueType:
    return health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING


def _model_service(name: str) -> str:
    """Return the name by which a health check asks for a model."""
    return f"{MODEL_PREFIX}{name}"


def _channel_arguments(options: GrpcOptions) -> list[tuple[str, int]]:
    arguments = [
        ("grpc.max_receive_message_length", options.max_message_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", 0),  # a second server on the port is an error
        ("grpc.server.max_pending_requests", _MAX_PENDING_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", _MAX_PENDING_CALLS),
        # both ends may ping a connection without calls. Otherwise, gRPC expects 2 hours between such pings of a client
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", _milliseconds(options.min_ping_interval)),
        ("grpc.http2.max_pings_without_data", 0),  # the server pings as often as keepalive_time says
        ("grpc.keepalive_time_ms", _milliseconds(options.keepalive_time)),
        ("grpc.keepalive_timeout_ms", _milliseconds(options.progress_timeout)),
        ("grpc.server_handshake_timeout_ms", _milliseconds(options.header_timeout)),
        ("grpc.http2.settings_timeout", _milliseconds(options.header_timeout)),
        ("grpc.max_connection_idle_ms", _milliseconds(options.idle_timeout)),
        ("grpc.max_allowed_incoming_connections", options.max_connections),
        ("grpc.max_concurrent_streams", options.max_connection_calls),
    ]
    if options.max_connection_age is not None:
        arguments.append(("grpc.max_connection_age_ms", _milliseconds(options.max_connection_age)))
    return arguments


def _milliseconds(seconds: float) -> int:
    return min(round(seconds * 1000), _MAX_MILLISECONDS)


@asynccontextmanager
async def listening(
    services: Sequence[Service], keys: Keys, options: GrpcOptions, observing: Observing | None = None
) -> AsyncIterator[GrpcEdge]:
    """Listen while the block runs: live from the start, ready after `set_ready`. At the end, cancel running calls.
    `observing` observes each call, except health checks and reflection.

    Raises:
        SettingsInvalid: an address is in use or not allowed.
    """
    hide_lines_caused_by_clients()
    observing = observing or Observing()
    server = registered_server(_channel_arguments(options), unknown_method(observing, keys))
    calls = RunningCalls()
    for service in services:
        handlers = calls.counted(service.handlers(keys, options.default_timeout, observing))
        server.add_registered_method_handlers(service.descriptor.full_name, handlers)
    checks = HealthChecks()
    message_timeout = min(options.header_timeout, options.default_timeout)
    bounded = BoundedServer(server, timeout=message_timeout, max_watches=options.max_connections)
    health_pb2_grpc.add_HealthServicer_to_server(checks, bounded)
    names = [service.descriptor.full_name for service in services]
    files = [*(service.descriptor.file for service in services), health_pb2.DESCRIPTOR]
    add_reflection(bounded, (*names, health.SERVICE_NAME), files)
    edge = GrpcEdge(server, checks, names, calls, options)
    await server.start()
    await edge.set_ready(ready=False)
    checks.set(LIVENESS, health_pb2.HealthCheckResponse.SERVING)
    async with ending_with(server):
        try:
            yield edge
        finally:
            # time to send the status of cancelled calls; no effect if the server is stopped already
            await edge.stop(1.0)
