"""The composition root: build the parts, start them, wait for a signal, shut down.

Rule 1: only this file, wiring.py and the commands read `Settings`.
Rule 2: the exit stack stops each started part, in reverse order. When a part fails, the process ends.
"""

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog

from rerank_service.api.address import ListenAddress, listen_addresses
from rerank_service.api.auth import Keys
from rerank_service.api.grpc import server as grpc_server
from rerank_service.api.grpc.rerank_v1 import RerankMethods
from rerank_service.api.grpc.tei_v1 import TeiMethods
from rerank_service.api.http import server as rest_server
from rerank_service.api.http.app import build_app
from rerank_service.api.http.metrics_route import MetricsRoute, metrics_app
from rerank_service.api.http.routes import RerankRoutes
from rerank_service.api.tls.store import CertificateStore
from rerank_service.engine.host import cores, limit_tokenizer_threads
from rerank_service.lifecycle.hot_swap import HotSwap, serve_model, swap_in_background
from rerank_service.lifecycle.shutdown import (
    StopSignals,
    drain,
    ignore_stop_signals,
    receive_stop_signals,
    run_unless_stopped,
)
from rerank_service.lifecycle.trace_flush import TraceFlush
from rerank_service.metrics.core_state import core_state
from rerank_service.metrics.exposition import Metrics
from rerank_service.models.loading import load_selected
from rerank_service.models.registry import Registry
from rerank_service.models.served_model import ModelInfo
from rerank_service.models.tuning.improve import load_faster
from rerank_service.reranker import Reranker
from rerank_service.scheduling.admission import Admission
from rerank_service.settings import Settings
from rerank_service.wiring import (
    api_keys,
    certificate_store,
    empty_registry,
    grpc_options,
    metrics_options,
    model_options,
    observing,
    request_limits,
    rest_options,
    shutdown_timeouts,
    tracer_provider,
)

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Addresses:
    """Addresses of a running server, and the name of its model."""

    grpc: tuple[str, ...]
    """Targets of gRPC: `host:port` or `unix:FILE`."""
    rest: tuple[str, ...]
    """Addresses of REST: base URLs, or `unix:FILE`."""
    metrics: tuple[str, ...]
    """Base URLs of the port for metrics; empty if the REST port serves them."""
    model: str
    """Name of the served model."""
    tls: bool
    """True if the addresses require TLS."""


OnReady = Callable[[Addresses], Awaitable[None]]


async def serve(settings: Settings, on_ready: OnReady) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Await `on_ready` once, when the server accepts requests.

    Raises:
        BundleInvalid: the model cannot be served.
        MemoryTooSmall: its weights exceed the memory limit.
        SettingsInvalid: the file of API keys or a file of TLS is wrong, or an address cannot be listened on.
    """
    started = time.perf_counter()
    signals = receive_stop_signals()
    async with AsyncExitStack() as running_parts:
        addresses = listen_addresses(settings.host)
        tls = certificate_store(settings)
        core = _build_core(settings, addresses, running_parts)
        tracing = tracer_provider(settings)
        trace_flush = TraceFlush(tracing, signals)
        running_parts.push_async_callback(trace_flush.run)
        edges = await _listen(settings, addresses, core, tls, tracing, running_parts)
        model = await run_unless_stopped(partial(load_selected, model_options(settings)), signals)
        if model is not None:
            gc.freeze()  # keep the objects of the start out of later collections: a large request would scan them all
            hot_swap = await running_parts.enter_async_context(serve_model(core.registry, model))
            await edges.set_ready(ready=True)
            served = Addresses(
                edges.grpc.targets, edges.rest.urls, edges.metrics_urls, model.info.name, tls is not None
            )
            _log_ready(served, model.info, time.perf_counter() - started, keys=core.keys, tls=tls)
            del model  # a hot swap may replace it, and then its memory is freed
            await on_ready(served)
            await _tune_until_signal(settings, hot_swap, signals)
            await edges.set_ready(ready=False)
            edges_to_stop = (edges.rest, edges.grpc)
            trace_flush.grace = await drain(core.admission, edges_to_stop, signals, shutdown_timeouts(settings))
    ignore_stop_signals()
    _log.info("stopped")


@dataclass(frozen=True, slots=True)
class _Core:
    """The parts that both protocols share."""

    registry: Registry
    admission: Admission
    reranker: Reranker
    keys: Keys


@dataclass(frozen=True, slots=True)
class _Edges:
    """The servers of both protocols. They listen from the start, and reject requests until they are ready."""

    rest: rest_server.RestEdge
    grpc: grpc_server.GrpcEdge
    routes: RerankRoutes
    metrics_urls: tuple[str, ...]

    async def set_ready(self, *, ready: bool) -> None:
        self.routes.ready = ready
        await self.grpc.set_ready(ready=ready)


def _build_core(settings: Settings, addresses: Sequence[ListenAddress], running_parts: AsyncExitStack) -> _Core:
    keys = _read_keys(settings, addresses)
    registry = empty_registry(settings)
    admission = Admission(settings.max_live_documents, settings.max_live_tokens, asyncio.get_running_loop().time)
    tokenizer_threads = running_parts.enter_context(_tokenizer_threads())
    reranker = Reranker(registry, admission, request_limits(settings), tokenizer_threads)
    return _Core(registry, admission, reranker, keys)


def _read_keys(settings: Settings, addresses: Sequence[ListenAddress]) -> Keys:
    keys = api_keys(settings)
    if not keys.required and not all(each.is_loopback for each in addresses):
        _log.warning(
            "no API keys", host=",".join(settings.host), why="every caller that reaches this address is admitted"
        )
    return keys


def _tokenizer_threads() -> ThreadPoolExecutor:
    """Return a pool with one thread for each core that the process may use."""
    return ThreadPoolExecutor(limit_tokenizer_threads(), thread_name_prefix="tokenizer")


async def _listen(
    settings: Settings,
    addresses: tuple[ListenAddress, ...],
    core: _Core,
    tls: CertificateStore | None,
    tracing: "TracerProvider | None",
    running_parts: AsyncExitStack,
) -> _Edges:
    rest, grpc = rest_options(settings, addresses, tls), grpc_options(settings, addresses, tls)
    metrics_port = metrics_options(settings, addresses)
    metrics = Metrics(partial(core_state, core.registry, core.admission))
    observers = observing(settings, metrics.requests, tracing)
    routes = RerankRoutes(core.reranker, core.registry, core.keys, rest)
    methods = RerankMethods(core.reranker, core.registry, grpc)
    tei = TeiMethods(core.reranker, core.registry)
    metrics_urls: tuple[str, ...] = ()
    if metrics_port is not None:
        metrics_server = rest_server.listening(metrics_app(metrics.text), metrics_port)
        metrics_urls = (await running_parts.enter_async_context(metrics_server)).urls
    metrics_route = MetricsRoute(metrics.text, core.keys) if metrics_port is None else None
    app = build_app(routes, rest.cors_origins, metrics_route)
    rest_edge = await running_parts.enter_async_context(rest_server.listening(app, rest, observers))
    services = (methods.service, *tei.services)
    grpc_edge = await running_parts.enter_async_context(grpc_server.listening(services, core.keys, grpc, observers))
    return _Edges(rest_edge, grpc_edge, routes, metrics_urls)


async def _tune_until_signal(settings: Settings, hot_swap: HotSwap, signals: StopSignals) -> None:
    """Look for a faster engine and change to it, unless `--tune off`, until the first signal arrives."""
    load = partial(load_faster, model_options(settings))
    async with swap_in_background(hot_swap, load) if settings.tune == "auto" else nullcontext():
        await signals.get()


def _log_ready(
    addresses: Addresses, model: ModelInfo, seconds: float, *, keys: Keys, tls: CertificateStore | None
) -> None:
    available = cores()
    _log.info(
        "ready",
        grpc=",".join(addresses.grpc),
        rest=",".join(addresses.rest),
        metrics=",".join(f"{url}/metrics" for url in addresses.metrics or addresses.rest),
        keys="on" if keys.required else "off",
        tls=_tls_mode(tls),
        model=model.name,
        provider=model.provider,
        precision=model.precision,
        why=model.reason,
        export=model.verdict,
        lanes=model.lanes,
        cores=available.usable,
        cpu_quota="none" if available.quota is None else round(available.quota, 2),
        seconds=round(seconds, 2),
    )


def _tls_mode(tls: CertificateStore | None) -> str:
    if tls is None:
        return "off"
    return "on" if tls.files.client_ca is None else "mutual"
