"""The composition root: build the parts, start them, wait for a signal, shut down.

Rule 1: only this file, local_server.py, core.py, edges.py, admin_port.py, wiring.py and the commands read `Settings`.
Rule 2: the exit stack stops each started part, in reverse order. When a part fails, the process ends.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING

import structlog

from rerank_service.api.address import ListenAddress, listen_addresses
from rerank_service.api.auth import Keys
from rerank_service.api.tls.store import CertificateStore
from rerank_service.core import build_core, managing
from rerank_service.engine.host import cores
from rerank_service.engine.process_memory import share_arenas
from rerank_service.garbage import (
    collect_at_quiet_moments,
    collections_paused,
    keep_out_of_collections,
    make_full_collections_rare,
)
from rerank_service.lifecycle.background_tuning import tuning_in_background
from rerank_service.lifecycle.catalog_watch import CatalogWatch, Seen, read_and_look, watching
from rerank_service.lifecycle.descriptors import allow_descriptors
from rerank_service.lifecycle.hung_batches import watching_batches
from rerank_service.lifecycle.model_manager import ModelManager
from rerank_service.lifecycle.readiness import reporting_readiness
from rerank_service.lifecycle.shutdown import (
    drain,
    ignore_stop_signals,
    receive_stop_signals,
    run_unless_stopped,
    running_task,
)
from rerank_service.lifecycle.trace_flush import TraceFlush
from rerank_service.metrics.config_state import ConfigFiles
from rerank_service.models.catalog.entry import ModelEntry
from rerank_service.models.tuning.improve import ImproveOnce
from rerank_service.settings import Settings
from rerank_service.wiring import (
    all_connections,
    api_keys,
    certificate_store,
    model_entries,
    model_options,
    shutdown_timeouts,
    tracer_provider,
)

if TYPE_CHECKING:
    from rerank_service.edges import Addresses

_log = structlog.get_logger()


OnReady = Callable[["Addresses"], Awaitable[None]]


async def serve(settings: Settings, on_ready: OnReady) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Await `on_ready` once, when the server accepts requests.

    The models load while the servers are imported and begin to listen.

    Raises:
        BundleInvalid: the model cannot be served.
        MemoryTooSmall: its weights exceed the memory limit.
        SettingsInvalid: the file of API keys or a file of TLS is wrong, or an address cannot be listened on.
    """
    started = time.perf_counter()
    share_arenas()
    make_full_collections_rare()
    keep_out_of_collections()
    signals = receive_stop_signals()
    async with AsyncExitStack() as running_parts:
        addresses = listen_addresses(settings.host)
        allow_descriptors(all_connections(settings, len(addresses)))
        files = ConfigFiles()
        tls = certificate_store(settings, files)
        entries, seen = read_and_look(partial(model_entries, settings), settings.models)
        core = build_core(settings, _read_keys(settings, addresses, files), files, running_parts)
        running_parts.enter_context(watching_batches(core.capacity.pools, settings.batch_timeout))
        tracing = tracer_provider(settings)
        trace_flush = TraceFlush(tracing, signals)
        running_parts.push_async_callback(trace_flush.run)
        manager = await running_parts.enter_async_context(managing(settings, core))
        starting = run_unless_stopped(manager.start(entries), signals.get())
        is_started = await running_parts.enter_async_context(running_task(starting))
        await asyncio.to_thread(_import_edges)  # in a thread, because the load goes on on the event loop
        from rerank_service.edges import listening_edges

        edges = await listening_edges(settings, addresses, core, manager, tls, tracing, running_parts)
        if await is_started:
            keep_out_of_collections()
            await running_parts.enter_async_context(reporting_readiness(core.registry, manager, edges))
            served = edges.addresses(manager.models[0].name, tls)
            _log_ready(served, manager, time.perf_counter() - started, keys=core.keys, tls=tls)
            await on_ready(served)
            async with (
                running_task(collect_at_quiet_moments(core.capacity.pools.idle)),
                _changing_models(settings, manager, entries, seen, files),
            ):
                await signals.get()
            manager.drain()
            await edges.drain(manager)
            edges_to_stop = (edges.rest, edges.grpc)
            trace_flush.grace = await drain(core.admissions, edges_to_stop, signals, shutdown_timeouts(settings))
    ignore_stop_signals()
    _log.info("stopped")


def _read_keys(settings: Settings, addresses: Sequence[ListenAddress], files: ConfigFiles) -> Keys:
    keys = api_keys(settings, files)
    if not keys.required and not all(each.is_loopback for each in addresses):
        _log.warning(
            "no API keys", host=",".join(settings.host), why="every caller that reaches this address is admitted"
        )
    return keys


def _import_edges() -> None:
    with collections_paused():
        import_module("rerank_service.edges")


@asynccontextmanager
async def _changing_models(
    settings: Settings, manager: ModelManager, entries: Sequence[ModelEntry], seen: Seen, files: ConfigFiles
) -> AsyncIterator[None]:
    """During the block, look for faster engines (unless `--tune off`), and follow the files of models (`--watch`)."""
    improve = ImproveOnce(lambda entry: model_options(entry, settings))
    watch = CatalogWatch(manager, partial(model_entries, settings), entries, settings.models, seen)
    if settings.watch:
        files.add("models", lambda: watch.up_to_date)
    async with (
        tuning_in_background(manager, improve) if settings.tune == "auto" else nullcontext(),
        watching(watch) if settings.watch else nullcontext(),
    ):
        yield


def _log_ready(
    addresses: "Addresses", manager: ModelManager, seconds: float, *, keys: Keys, tls: CertificateStore | None
) -> None:
    available = cores()
    _log.info(
        "ready",
        grpc=",".join(addresses.grpc),
        rest=",".join(addresses.rest),
        metrics=",".join(f"{url}/metrics" for url in addresses.metrics or addresses.rest),
        admin=",".join(addresses.admin) or "off",
        keys="on" if keys.required else "off",
        tls=_tls_mode(tls),
        **_facts(manager),
        cores=available.usable,
        cpu_quota="none" if available.quota is None else round(available.quota, 2),
        seconds=round(seconds, 2),
    )


def _facts(manager: ModelManager) -> dict[str, object]:
    """Return the fields of the event `ready` that describe the models. Several models have an event each."""
    if len(manager.models) > 1:
        return {"models": ",".join(managed.name for managed in manager.models)}
    info = manager.models[0].registered.info
    return {
        "model": info.name,
        "provider": info.provider,
        "precision": info.precision,
        "why": info.reason,
        "export": info.verdict,
        "lanes": info.lanes,
    }


def _tls_mode(tls: CertificateStore | None) -> str:
    if tls is None:
        return "off"
    return "on" if tls.files.client_ca is None else "mutual"
