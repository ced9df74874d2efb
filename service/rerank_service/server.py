"""The composition root: build the parts, start them, wait for a signal, shut down.

Rule 1: only this file, wiring.py, __main__.py and the commands know `Settings`.
Rule 2: each part that is started is stopped by the exit stack, in reverse order. When a part dies, the process ends.
"""

import asyncio
import gc
import os
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass
from functools import partial

import structlog

from rerank_service.api.address import address, is_loopback
from rerank_service.api.auth import Keys
from rerank_service.api.grpc import server as grpc_server
from rerank_service.api.grpc.rerank_v1 import RerankMethods
from rerank_service.api.grpc.tei_v1 import TeiMethods
from rerank_service.api.http import server as rest_server
from rerank_service.api.http.app import build_app
from rerank_service.api.http.routes import RerankRoutes
from rerank_service.engine.host import usable_cores
from rerank_service.lifecycle.hot_swap import improving, running
from rerank_service.lifecycle.shutdown import drain, stop_signals, unless_stopped
from rerank_service.models.faster_engine import load_faster
from rerank_service.models.loading import load_selected
from rerank_service.models.registry import Registry
from rerank_service.models.served_model import ModelInfo
from rerank_service.reranker import Reranker
from rerank_service.scheduling.admission import Admission
from rerank_service.settings import Settings
from rerank_service.wiring import (
    api_keys,
    empty_registry,
    grpc_options,
    model_options,
    request_limits,
    rest_options,
    shutdown_timeouts,
)

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where a running server is reached."""

    grpc: str
    rest: str
    model: str
    """Name of the model served."""


OnReady = Callable[[Addresses], Awaitable[None]]


async def serve(settings: Settings, on_ready: OnReady) -> None:
    """Serve until SIGTERM or SIGINT, then drain.

    Raises:
        BundleInvalid: the model cannot be served.
        SettingsInvalid: the file of API keys is wrong.
        OSError: an address is in use.
    """
    started = time.perf_counter()
    stop = stop_signals()
    async with AsyncExitStack() as running_parts:
        core = _build_core(settings, running_parts)
        edges = await _listen(settings, core, running_parts)
        model = await unless_stopped(stop, partial(load_selected, model_options(settings)))
        if model is not None:
            gc.freeze()  # the objects of the start stay: without this, parsing a large body scans all of them
            lanes = await running_parts.enter_async_context(running(core.registry, model))
            addresses = edges.addresses(settings.host, model.info.name)
            await edges.set_ready(ready=True)
            _log_ready(addresses, model.info, time.perf_counter() - started, keys=core.keys)
            del model  # a better one may replace it, and then its memory is freed
            await on_ready(addresses)
            better = partial(load_faster, model_options(settings))
            async with improving(core.registry, lanes, better) if settings.tune == "auto" else nullcontext():
                await stop.get()
            await edges.set_ready(ready=False)
            await drain(core.admission, (edges.rest, edges.grpc), stop, shutdown_timeouts(settings))
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
    """Both servers, listening."""

    rest: rest_server.RestEdge
    grpc: grpc_server.GrpcEdge
    routes: RerankRoutes

    def addresses(self, host: str, model: str) -> Addresses:
        return Addresses(address(host, self.grpc.port), f"http://{address(host, self.rest.port)}", model)

    async def set_ready(self, *, ready: bool) -> None:
        self.routes.ready = ready
        await self.grpc.set_ready(ready=ready)


def _build_core(settings: Settings, running_parts: AsyncExitStack) -> _Core:
    keys = api_keys(settings)
    if not keys.required and not is_loopback(settings.host):
        _log.warning("no API keys", host=settings.host, why="every caller that reaches this address is admitted")
    cores = usable_cores()
    os.environ.setdefault("RAYON_NUM_THREADS", str(cores))  # the tokenizer's threads; its default is the host's cores
    registry = empty_registry(settings)
    clock = asyncio.get_running_loop().time
    admission = Admission(settings.max_live_documents, settings.max_live_tokens, clock)
    tokenizing = running_parts.enter_context(ThreadPoolExecutor(cores, thread_name_prefix="tokenizer"))
    reranker = Reranker(registry, admission, request_limits(settings), tokenizing)
    return _Core(registry, admission, reranker, keys)


async def _listen(settings: Settings, core: _Core, running_parts: AsyncExitStack) -> _Edges:
    routes = RerankRoutes(core.reranker, core.registry, core.keys, rest_options(settings))
    options = grpc_options(settings)
    methods = RerankMethods(core.reranker, core.registry, options)
    tei = TeiMethods(core.reranker, core.registry)
    rest = await running_parts.enter_async_context(
        rest_server.listening(build_app(routes), settings.host, settings.rest_port)
    )
    grpc = await running_parts.enter_async_context(
        grpc_server.listening((methods.service, *tei.services), core.keys, options)
    )
    return _Edges(rest, grpc, routes)


def _log_ready(addresses: Addresses, model: ModelInfo, seconds: float, *, keys: Keys) -> None:
    _log.info(
        "ready",
        grpc=addresses.grpc,
        rest=addresses.rest,
        keys="on" if keys.required else "off",
        model=model.name,
        provider=model.provider,
        precision=model.precision,
        why=model.reason,
        export=model.verdict,
        seconds=round(seconds, 2),
    )
