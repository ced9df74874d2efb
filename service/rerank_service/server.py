"""The composition root: build the parts from the settings, start, wait, drain, stop.

Rule 1: only here and in __main__ and commands/ is `Settings` known.
Rule 2: what starts is stopped by the block that started it, in reverse; a part that dies takes the process along.
"""

import asyncio
import gc
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import structlog

from rerank_service.admission import Admission
from rerank_service.api import grpc as grpc_edge
from rerank_service.api.address import address
from rerank_service.api.grpc_tei import TeiMethods
from rerank_service.api.rest import RerankRoutes, RestOptions
from rerank_service.api.rest_app import build_app
from rerank_service.api.rest_server import listening as rest_listening
from rerank_service.auth import Keys
from rerank_service.engine.engine import Precision, Provider
from rerank_service.host import usable_cores
from rerank_service.hosted_names import HOSTED_NAMES
from rerank_service.keys_file import read_keys
from rerank_service.loading import ModelOptions, load_better, load_selected
from rerank_service.registry import Names, Registry, ServedModel
from rerank_service.reranker import RequestLimits, Reranker
from rerank_service.settings import Settings
from rerank_service.tuning.select import Wish

STARTER = Path(__file__).parent / "models" / "starter"
"""The bundled model."""

_log = structlog.get_logger()

T = TypeVar("T")


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
        SettingsInvalid: the file of keys is wrong.
        OSError: an address is taken.
    """
    begun = time.perf_counter()
    stop = _stop_signals()
    cores = usable_cores()
    os.environ.setdefault("RAYON_NUM_THREADS", str(cores))  # the tokenizer's threads, which it sizes to the host
    registry = Registry(any_model=settings.any_model, defaults=HOSTED_NAMES if settings.hosted_names else ())
    clock = asyncio.get_running_loop().time
    admission = Admission(settings.max_live_documents, settings.max_live_tokens, clock)
    known = read_keys(settings.api_keys_file) if settings.api_keys_file else []
    keys = Keys([key.get_secret_value() for key in settings.api_keys], known)
    with ThreadPoolExecutor(cores, thread_name_prefix="tokenizer") as tokenizing:
        reranker = Reranker(registry, admission, _request_limits(settings), tokenizing)
        routes = RerankRoutes(reranker, registry, keys, _rest_options(settings))
        methods = grpc_edge.RerankMethods(reranker, registry, _grpc_options(settings))
        tei = TeiMethods(reranker, registry, settings.default_timeout)
        async with (
            rest_listening(build_app(routes), settings.host, settings.rest_port) as rest,
            grpc_edge.listening((methods.service, *tei.services), keys, _grpc_options(settings)) as grpc,
        ):
            model = await _unless_stopped(stop, partial(load_selected, model_options(settings)))
            if model is not None:
                gc.freeze()  # what is here stays: without that, parsing a large body walks through all of it
                async with _running(registry, model) as lanes:
                    addresses = Addresses(
                        address(settings.host, grpc.port),
                        f"http://{address(settings.host, rest.port)}",
                        model.info.name,
                    )
                    routes.ready = True
                    await grpc.set_ready(ready=True)
                    _log_ready(addresses, model, time.perf_counter() - begun)
                    del model  # a better one may take its place, and its memory is free then
                    await on_ready(addresses)
                    async with _tuning(settings, registry, lanes):
                        await stop.get()
                    routes.ready = False
                    await grpc.set_ready(ready=False)
                    await _drain(admission, (rest, grpc), stop, settings)
    _log.info("stopped")


def model_options(settings: Settings) -> ModelOptions:
    """What the settings say of the model."""
    return ModelOptions(
        folder=settings.model or STARTER,
        cache=_at_home(settings.cache),
        wish=Wish(Provider(settings.provider), Precision(settings.precision)),
        lanes=settings.lanes,
        max_batch_tokens=settings.max_batch_tokens,
        length_multiple=settings.length_multiple,
        max_batch_pairs=settings.max_batch_pairs,
        cuda_graphs=settings.cuda_graphs,
        names=Names(settings.model_name, settings.aliases),
        score_cache_bytes=settings.score_cache_bytes,
    )


def _at_home(folder: Path) -> Path:
    """With ~ resolved; a user without a home, as in a container, has a cache that keeps nothing."""
    try:
        return folder.expanduser()
    except RuntimeError:
        return Path(os.devnull) / "cache"


def _log_ready(addresses: Addresses, model: ServedModel, seconds: float) -> None:
    _log.info(
        "ready",
        grpc=addresses.grpc,
        rest=addresses.rest,
        model=model.info.name,
        provider=model.info.provider,
        precision=model.info.precision,
        why=model.info.choice,
        seconds=round(seconds, 2),
    )


async def _unless_stopped(stop: asyncio.Queue[signal.Signals], load: Callable[[], T]) -> T | None:
    """Load in a thread; None if a signal comes before that is done."""
    loaded = _aside(load)
    signalled = asyncio.create_task(stop.get())
    waiting: list[asyncio.Future[Any]] = [loaded, signalled]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if signalled.done():
        loaded.cancel()
        return None
    signalled.cancel()
    return loaded.result()


def _aside(work: Callable[[], T]) -> asyncio.Future[T]:
    """What a thread makes of some work.

    The thread is a daemon: a process that was told to end does not wait for gigabytes to be read.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - raised again where the future is awaited
            tell(outcome.set_exception, error)
        else:
            tell(outcome.set_result, result)

    def tell(settle: Callable[..., None], what: object) -> None:
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(lambda: None if outcome.cancelled() else settle(what))

    threading.Thread(target=run, name="load", daemon=True).start()
    return outcome


class _Lanes:
    """The lanes of the model served, and of those before it until their last request is answered."""

    def __init__(self, registry: Registry, tasks: asyncio.TaskGroup) -> None:
        self._registry = registry
        self._tasks = tasks
        self._running: list[asyncio.Task[None]] = []

    def serve(self, model: ServedModel) -> None:
        """Let requests that come from now on go to this model."""
        former = self._registry.models()
        self._running.append(self._tasks.create_task(model.scheduler.run()))
        self._registry.add(model)
        for one in former:
            one.scheduler.retire()

    def end(self) -> None:
        """Let no lane take another batch."""
        for task in self._running:
            task.cancel()


@asynccontextmanager
async def _running(registry: Registry, model: ServedModel) -> AsyncIterator[_Lanes]:
    """Serve a model beside the block; if a lane dies the block is cancelled, and its error raised."""
    try:
        async with asyncio.TaskGroup() as tasks:
            lanes = _Lanes(registry, tasks)
            lanes.serve(model)
            del model  # it may be replaced
            try:
                yield lanes
            finally:
                lanes.end()
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None


@asynccontextmanager
async def _tuning(settings: Settings, registry: Registry, lanes: _Lanes) -> AsyncIterator[None]:
    """Beside the block, find out what runs best here, and change to it. The block's end does not wait for that."""
    halt = threading.Event()

    async def tune() -> None:
        try:
            better = await _aside(partial(load_better, model_options(settings), registry.get(""), halt))
        except Exception as error:  # noqa: BLE001 - what runs, runs on
            _log.warning("tuning failed", error=str(error))
        else:
            if better is not None:
                lanes.serve(better)
                _log.info("changed", provider=better.info.provider, precision=better.info.precision)

    task = asyncio.create_task(tune()) if settings.tune == "auto" else None
    try:
        yield
    finally:
        halt.set()
        if task is not None:
            task.cancel()
            await asyncio.wait([task])


def _stop_signals() -> asyncio.Queue[signal.Signals]:
    """Each SIGTERM and SIGINT from now on: the first asks to drain, the second to make haste."""
    loop = asyncio.get_running_loop()
    signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, signals.put_nowait, number)
    return signals


class Edge(Protocol):
    """What listens."""

    async def stop(self, grace: float) -> None:
        """End when the requests that are here have ended, or the grace has."""


async def _drain(
    admission: Admission, edges: Sequence[Edge], stop: asyncio.Queue[signal.Signals], settings: Settings
) -> None:
    """Answer what is in flight, and see the answers out, within one grace for all or until a second signal."""
    _log.info("draining", requests=admission.live_requests, grace=settings.grace)
    hurry = asyncio.create_task(stop.get())
    await asyncio.wait([hurry], timeout=settings.drain_delay)
    admission.close()
    ends = asyncio.get_running_loop().time() + settings.grace
    if not await _before(hurry, admission.drained(), ends):
        _log.warning("grace is over", requests=admission.live_requests)
    left = 0.0 if hurry.done() else max(0.0, ends - asyncio.get_running_loop().time())
    await asyncio.gather(*(_before(hurry, edge.stop(left), ends) for edge in edges))
    hurry.cancel()


async def _before(hurry: asyncio.Task[signal.Signals], work: Coroutine[Any, Any, None], ends: float) -> bool:
    """Whether the work was done before a second signal, and before its time was over."""
    task = asyncio.create_task(work)
    left = max(0.0, ends - asyncio.get_running_loop().time())
    await asyncio.wait([hurry, task], timeout=left, return_when=asyncio.FIRST_COMPLETED)
    done = task.done()
    task.cancel()
    await asyncio.wait([task])
    return done


def _request_limits(settings: Settings) -> RequestLimits:
    return RequestLimits(
        max_documents=settings.max_documents,
        max_stream_documents=settings.max_stream_documents,
        max_query_chars=settings.max_query_chars,
        max_document_chars=settings.max_document_chars,
        document_tokens=settings.document_tokens,
        window_tokens=settings.window_tokens,
        max_windows=settings.max_windows,
    )


def _grpc_options(settings: Settings) -> grpc_edge.GrpcOptions:
    return grpc_edge.GrpcOptions(
        settings.host,
        settings.grpc_port,
        settings.max_message_bytes,
        settings.default_timeout,
        settings.max_connection_age,
    )


def _rest_options(settings: Settings) -> RestOptions:
    return RestOptions(settings.max_message_bytes, settings.default_timeout)
