"""Health checks by the gRPC protocol (grpc.health.v1): Check, List and Watch.

Not that of grpcio-health-checking: it has no List, and it holds a lock while it writes to a watcher. A watcher that
reads nothing would stop every change of the status, and with it the shutdown.
"""

import asyncio
from typing import Any, TypeAlias

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckResponse

Status: TypeAlias = health_pb2.HealthCheckResponse
_UNKNOWN = Status.SERVICE_UNKNOWN
MODEL_PREFIX = "rerank.v1.Rerank/"
"""Beginning of the names by which health checks ask for a model: `rerank.v1.Rerank/NAME`."""
_Context: TypeAlias = grpc.aio.ServicerContext[Any, Any]


class HealthChecks(health_pb2_grpc.HealthServicer):  # type: ignore[misc]  # has no types
    """The status of each service by name. Used on the event loop only."""

    def __init__(self) -> None:
        self._statuses: dict[str, int] = {}
        self._changed = asyncio.Event()
        """Set at the next change, and then replaced."""

    def set(self, service: str, status: int) -> None:
        """Set the status of a service, a `ServingStatus`. SERVICE_UNKNOWN removes it."""
        if status == _UNKNOWN:
            self._statuses.pop(service, None)
        else:
            self._statuses[service] = status
        self._changed.set()
        self._changed = asyncio.Event()

    async def Check(self, request: health_pb2.HealthCheckRequest, context: _Context) -> HealthCheckResponse:  # noqa: N802 - of the protocol
        """Return the status of a service. Unknown services are NOT_FOUND."""
        status = self._statuses.get(request.service)
        if status is None:
            await context.abort(grpc.StatusCode.NOT_FOUND, "The server has no health status of this service.")
        return HealthCheckResponse(status=status)

    async def List(  # noqa: N802 - of the protocol
        self,
        _request: health_pb2.HealthListRequest,
        _context: _Context,
    ) -> health_pb2.HealthListResponse:
        """Return the status of each service, without those of models: no key is needed, and names of models are not for
        strangers."""
        listed = {name: status for name, status in self._statuses.items() if not name.startswith(MODEL_PREFIX)}
        statuses = {name: HealthCheckResponse(status=status) for name, status in listed.items()}
        return health_pb2.HealthListResponse(statuses=statuses)

    async def Watch(self, request: health_pb2.HealthCheckRequest, context: _Context) -> None:  # noqa: N802 - of the protocol
        """Send the status of a service, now and after each change, until the client cancels the call."""
        sent = None
        while True:
            changed = self._changed
            status = self._statuses.get(request.service, _UNKNOWN)
            if status != sent:
                await context.write(HealthCheckResponse(status=status))
                sent = status
            await changed.wait()
