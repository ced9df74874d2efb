"""The servers of both protocols, and that of Admin.

server.py imports this file while the models load, because the import takes a third of the start.
"""

from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from rerank_service.admin_port import admin_options, listening_for_admin
from rerank_service.api.address import ListenAddress
from rerank_service.api.free_ports import WantedPort, check_ports_free
from rerank_service.api.grpc import server as grpc_server
from rerank_service.api.grpc.options import GrpcOptions
from rerank_service.api.grpc.rerank_v1 import RerankMethods
from rerank_service.api.grpc.tei_v1 import TeiMethods
from rerank_service.api.http import server as rest_server
from rerank_service.api.http.app import build_app
from rerank_service.api.http.metrics_port import metrics_app
from rerank_service.api.http.metrics_route import MetricsRoute
from rerank_service.api.http.options import RestOptions
from rerank_service.api.http.playground.routes import Playground
from rerank_service.api.http.routes import RerankRoutes
from rerank_service.api.tls.store import CertificateStore
from rerank_service.core import Core
from rerank_service.lifecycle.model_manager import ModelManager
from rerank_service.metrics.core_state import CoreState, core_state
from rerank_service.metrics.exposition import Metrics
from rerank_service.observability.event_loop import running_turns
from rerank_service.settings import Settings
from rerank_service.wiring import grpc_options, metrics_options, observing, rest_options

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider


@dataclass(frozen=True, slots=True)
class Addresses:
    """Addresses of a running server, and the name of its model."""

    grpc: tuple[str, ...]
    """Targets of gRPC: `host:port` or `unix:FILE`."""
    rest: tuple[str, ...]
    """Addresses of REST: base URLs, or `unix:FILE`."""
    metrics: tuple[str, ...]
    """Base URLs of the port for metrics; empty if the REST port serves them."""
    admin: tuple[str, ...]
    """Targets of Admin: `host:port`; empty if it is off."""
    model: str
    """Name of the served model."""
    tls: bool
    """True if the addresses require TLS."""


@dataclass(frozen=True, slots=True)
class Edges:
    """The listening servers. They listen from the start, and reject requests until they are ready."""

    rest: rest_server.RestEdge
    grpc: grpc_server.GrpcEdge
    routes: RerankRoutes
    metrics_urls: tuple[str, ...]
    admin_targets: tuple[str, ...]

    async def report(self, manager: ModelManager) -> None:
        """Let health checks report the readiness of the server and of its models."""
        self.routes.ready = manager.ready
        await self.grpc.set_ready(ready=manager.ready, models=manager.accepting)

    async def drain(self, manager: ModelManager) -> None:
        """Report the readiness of a manager that drains, and let REST clients leave kept-alive connections."""
        await self.report(manager)
        self.rest.drain()

    def addresses(self, model: str, tls: CertificateStore | None) -> Addresses:
        """Return the addresses of the server, with the name of its default model."""
        urls, metrics = self.rest.urls, self.metrics_urls
        return Addresses(self.grpc.targets, urls, metrics, self.admin_targets, model, tls is not None)


def _state(core: Core, manager: ModelManager) -> CoreState:
    return core_state(core.registry, core.admissions, ready=manager.ready)


async def listening_edges(
    settings: Settings,
    addresses: tuple[ListenAddress, ...],
    core: Core,
    manager: ModelManager,
    tls: CertificateStore | None,
    tracing: "TracerProvider | None",
    running_parts: AsyncExitStack,
) -> Edges:
    """Let all servers listen. `running_parts` stops them.

    Raises:
        SettingsInvalid: addresses cannot be listened on, or the settings of Admin are wrong.
    """
    rest, grpc = rest_options(settings, addresses, tls), grpc_options(settings, addresses, tls)
    metrics_port, admin_port = metrics_options(settings, addresses), admin_options(settings, core.keys, tls)
    check_ports_free(_wanted_ports(metrics_port, rest, grpc, admin_port))
    metrics = Metrics(
        partial(_state, core, manager), core.files.state, running_turns(), settings.max_connections, core.keys.names
    )
    observers = observing(settings, metrics.requests, tracing)
    routes = RerankRoutes(core.reranker, core.registry, core.keys, rest)
    methods = RerankMethods(core.reranker, core.registry, grpc)
    tei = TeiMethods(core.reranker, core.registry)
    metrics_urls: tuple[str, ...] = ()
    if metrics_port is not None:
        metrics_server = rest_server.listening(metrics_app(metrics.text), metrics_port, observers)
        metrics_urls = (await running_parts.enter_async_context(metrics_server)).urls
    metrics_route = MetricsRoute(metrics.text, core.keys) if metrics_port is None else None
    playground = Playground(grpc_port=settings.grpc_port) if settings.playground else None
    app = build_app(routes, rest.cors_origins, metrics_route, playground)
    rest_edge = await running_parts.enter_async_context(rest_server.listening(app, rest, observers))
    services = (methods.service, *tei.services)
    grpc_edge = await running_parts.enter_async_context(grpc_server.listening(services, core.keys, grpc, observers))
    admin = listening_for_admin(settings, admin_port, manager, core.keys, observers)
    admin_targets = await running_parts.enter_async_context(admin)
    return Edges(rest_edge, grpc_edge, routes, metrics_urls, admin_targets)


def _wanted_ports(*servers: GrpcOptions | RestOptions | None) -> list[WantedPort]:
    """Return the ports of the servers that are on."""
    return [
        WantedPort(addresses=each.addresses, port=each.port, flag=each.port_flag, host_flag=each.host_flag)
        for each in servers
        if each is not None
    ]
